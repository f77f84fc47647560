"""Which URLs of users may be requested, and which addresses their hosts may have."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpx
import msgspec

from shared.contracts.errors import Invalid

LONGEST_URL: Final = 2048
"""Characters."""
PORTS: Final = {"http": 80, "https": 443}
"""The schemes that are allowed, with their ports where the URL names none."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)\.?$")
"""Ends like an IPv4 address: resolvers take `127.1`, `0177.0.0.1`, `0x7f000001` and `2130706433` for 127.0.0.1."""
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Allowed(msgspec.Struct, frozen=True):
    """What the operator allows.

    hosts      (host, port): a name, `*.` and a domain for all names beneath it, or an address
    networks   beside public addresses, those that allowed hosts may have: the facility's own
    """

    hosts: frozenset[tuple[str, int]] = frozenset()
    networks: tuple[Network, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """A URL that is allowed. `host` is lower-case, and an address has its canonical form."""

    url: httpx.URL
    host: str
    port: int


def parse_allowed(hosts: str, networks: str = "") -> Allowed:
    """`hook.example.org:443,*.facility.org:8443` and `10.1.0.0/16`, with commas between. ValueError names the entry that is wrong."""
    return Allowed(
        frozenset(_host(one) for one in _entries(hosts)), tuple(ip_network(one) for one in _entries(networks))
    )


def _entries(text: str) -> Iterable[str]:
    return (one.strip() for one in text.split(",") if one.strip())


def _host(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    name = host.removeprefix("[").removesuffix("]").lower()
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r}: host:port is expected")
    if (address := _literal(name)) is not None:
        return str(address), int(port)
    if not _NAME.fullmatch(name.removeprefix("*.")) or _NUMBER.search(name):
        raise ValueError(f"{entry!r} is neither a host's name nor an address")
    return name, int(port)


def target(url: str, allowed: Allowed, field: str = "url") -> Target:
    """The URL, if it is allowed. Otherwise Invalid, which does not repeat the URL: it may hold a secret."""
    if len(url) > LONGEST_URL:
        raise Invalid(f"a URL has at most {LONGEST_URL} characters", field=field)
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise Invalid("this is not a URL", field=field) from None
    if parsed.scheme not in PORTS:
        raise Invalid(f"a URL begins with {' or '.join(f'{scheme}://' for scheme in PORTS)}", field=field)
    if parsed.userinfo:
        raise Invalid("a URL may hold no user and no password", field=field)
    host, port = parsed.raw_host.decode("ascii").lower(), PORTS[parsed.scheme] if parsed.port is None else parsed.port
    literal = _literal(host)
    if literal is not None:
        host = str(literal)
    elif not _NAME.fullmatch(host) or _NUMBER.search(host):
        raise Invalid("the URL's host is neither a name nor an address as it is usually written", field=field)
    if not _is_listed(host, port, allowed, literal is not None):
        raise Invalid(f"the operator does not allow requests to {host}:{port}", field=field)
    return Target(parsed, host, port)


def _literal(host: str) -> Address | None:
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def _is_listed(host: str, port: int, allowed: Allowed, is_address: bool) -> bool:
    if (host, port) in allowed.hosts:
        return True
    domains = [] if is_address else host.split(".")[1:]
    return any((f"*.{'.'.join(domains[at:])}", port) in allowed.hosts for at in range(len(domains)))


def is_allowed_address(text: str, allowed: Allowed) -> bool:
    """Whether an allowed host may have this address: a public one, or one in the operator's networks."""
    address = _literal(text)
    if address is None:
        return False
    return all(_is_public(form) or _is_in(form, allowed.networks) for form in (address, *_embedded(address)))


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _embedded(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address leads to, on hosts or networks that translate."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64:
            return True  # the IPv4 address in it decides
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
