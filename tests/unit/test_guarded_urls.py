"""URLs of users: which may be requested, and which addresses their hosts may have."""

import pytest

from shared.contracts.errors import Invalid
from shared.service.guarded import parse_allowed
from shared.service.guarded.allowed import LONGEST_URL, Allowed, is_allowed_address, target

LIST = parse_allowed(
    "hook.example.org:443, hook.example.org:8080,*.facility.org:443,203.0.113.9:80,[2001:db8::9]:443,xn--bcher-kva.org:80"
)
NONE = Allowed()
NETS = parse_allowed("", "10.1.0.0/16,fd00:1::/32,127.0.0.0/8")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hook.example.org/a?b=c#d", "hook.example.org", 443),
        ("https://hook.example.org:443/", "hook.example.org", 443),
        ("http://HOOK.Example.org:8080", "hook.example.org", 8080),
        ("https://a.facility.org/", "a.facility.org", 443),
        ("https://a.b.facility.org/", "a.b.facility.org", 443),
        ("http://203.0.113.9/", "203.0.113.9", 80),
        ("https://[2001:DB8:0::9]/", "2001:db8::9", 443),
        ("http://bücher.org/", "xn--bcher-kva.org", 80),
    ],
)
def test_what_is_listed_is_allowed(url: str, host: str, port: int) -> None:
    found = target(url, LIST)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.example.org",
        "//hook.example.org/",
        "https:hook.example.org",
        "https:///path",
        "ftp://hook.example.org/",
        "file:///etc/passwd",
        "gopher://hook.example.org:443/",
        "javascript:alert(1)",
        "http://hook.example.org/",  # port 80 is not listed
        "https://hook.example.org:444/",
        "https://hook.example.org:99999/",
        "https://hook.example.org:0/",
        "https://hook.example.org:x/",
        "https://hook.example.org.evil.org/",
        "https://evil-hook.example.org/",
        "https://example.org/",
        "https://facility.org/",  # `*.` is what lies beneath
        "https://afacility.org/",
        "https://.facility.org/",
        "https://*.facility.org/",
        "https://facility.org.evil.org/",
        "https://hook.example.org./",
        "https://user@hook.example.org/",
        "https://user:secret@hook.example.org/",
        "https://hook.example.org@evil.org/",
        "https://hook.example.org\\@evil.org/",
        "https://evil.org\\.facility.org/",
        "https://evil.org#.facility.org/",
        "https://evil.org?.facility.org/",
        "https://evil.org%23.facility.org/",
        "https://evil.org%2f.facility.org/",
        "https://hook.example.org\n.evil.org/",
        "https://hook.example.org\r\nX: y/",
        "https://hook.example.org\x00/",
        "https:// hook.example.org/",
        "https://hооk.example.org/",  # Cyrillic o
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://017700000001/",
        "http://127。0。0。1/",
        "http://0/",
        "http://1.facility.org.0x7f/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://[2001:db8::9%251]/",
        "http://[::1/",
        "http://203.0.113.09/",
        "http://203.0.113.9:8080/",
        "https://hook.example.org/" + "a" * LONGEST_URL,
    ],
)  # fmt: skip
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        target(url, LIST, "callback.url")
    assert refused.value.field == "callback.url"
    assert "secret" not in refused.value.message
    with pytest.raises(Invalid):
        target(url, NONE)


def test_where_nothing_is_listed_nothing_is_allowed() -> None:
    with pytest.raises(Invalid, match="does not allow"):
        target("https://hook.example.org/", NONE)


@pytest.mark.parametrize(
    ("address", "public", "facility"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("127.0.0.1", False, True),
        ("127.255.255.254", False, True),
        ("10.1.2.3", False, True),
        ("10.2.0.1", False, False),
        ("172.16.0.1", False, False),
        ("192.168.1.1", False, False),
        ("169.254.169.254", False, False),
        ("100.64.0.1", False, False),
        ("0.0.0.0", False, False),
        ("255.255.255.255", False, False),
        ("224.0.0.1", False, False),
        ("240.0.0.1", False, False),
        ("::", False, False),
        ("::1", False, False),
        ("::127.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:10.2.0.1", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("::ffff:93.184.215.14", True, True),
        ("64:ff9b::7f00:1", False, True),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("64:ff9b::5db8:d70e", True, True),
        ("2002:7f00:1::", False, True),
        ("2002:a9fe:a9fe::1", False, False),
        ("2001:0:7f00:1::1", False, False),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("fec0::1", False, False),
        ("fd00:1::5", False, True),
        ("fd00:2::5", False, False),
        ("ff02::1", False, False),
        ("not an address", False, False),
        ("", False, False),
    ],
)
def test_addresses(address: str, public: bool, facility: bool) -> None:
    """Public ones, and those of the operator's networks, in whatever form."""
    assert is_allowed_address(address, NONE) == public
    assert is_allowed_address(address, NETS) == facility


@pytest.mark.parametrize(
    "entry",
    [
        "hook",
        "hook:",
        "hook:0",
        "hook:65536",
        "hook:x",
        "ho ok:1",
        "127.1:80",
        "0x7f000001:80",
        "*:443",
        "a.*.org:1",
        ":443",
        "http://a:1",
    ],
)
def test_a_wrong_entry_of_the_list_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|neither"):
        parse_allowed(f"good.org:443,{entry}")


def test_a_wrong_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_allowed("", "10.0.0.1/8")
