"""The client for URLs of users, against servers on loopback that do what a hostile one would."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from shared.contracts.errors import HeadraceError, Invalid, TimedOut, TooLarge, Unavailable
from shared.service.guarded import Allowed, GuardedClient, Limits, parse_allowed

PEM = Path(__file__).parents[1] / "support" / "localhost.pem"
LOOPBACK = "127.0.0.0/8,::1/128"
Answer = Callable[[str, bytes], bytes | AsyncIterator[bytes]]
"""The head of a request and its body → the raw answer."""


class Host:
    """A server on 127.0.0.1. `heads`, `bodies`: of the requests that came."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.heads, self.bodies, self.port = answer, [], [], 0  # type: ignore[var-annotated]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0
            )
            body = await reader.readexactly(length)
            self.heads.append(head)
            self.bodies.append(body)
            answer = self.answer(head, body)
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                async for piece in answer:
                    writer.write(piece)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def host(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    made = Host(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def said(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Names:
    """A resolver: host → what its next answers are; the last one is repeated."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append(name)
        if name not in self.answers:
            raise OSError("no such host")
        answers = self.answers[name]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def guarded(
    *hosts: str, names: Names | None = None, networks: str = LOOPBACK, limits: Limits = Limits(seconds=20)
) -> GuardedClient:
    return GuardedClient(
        parse_allowed(",".join(hosts), networks),
        limits,
        resolve=names or Names(hook_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]]),
        tls=ssl.create_default_context(cafile=str(PEM)),
    )


async def refused(call: Awaitable[object], kind: type[HeadraceError], words: str = ".") -> None:
    with pytest.raises(kind, match=words) as error:
        await call
    assert "secret" not in error.value.message


async def test_what_is_allowed_is_asked_and_named_by_its_name() -> None:
    async with host(lambda head, body: said("201 Created", b"thanks", X_Some="thing")) as there:
        async with guarded(f"hook.test:{there.port}") as client:
            url = f"http://hook.test:{there.port}/a?b=c"
            reply = await client.request("POST", url, headers={"X-Signature": "abc"}, body=b"{}")
        assert (reply.status, reply.body, reply.headers["x-some"], reply.url) == (201, b"thanks", "thing", url)
        (head,) = there.heads
        assert head.startswith("POST /a?b=c HTTP/1.1\r\n")
        assert f"\r\nhost: hook.test:{there.port}\r\n" in head.lower()
        assert "\r\nx-signature: abc\r\n" in head.lower()
        assert there.bodies == [b"{}"]


async def test_nothing_of_this_machines_settings_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no password of `.netrc`, no cookie of an earlier answer."""
    (tmp_path / ".netrc").write_text("machine hook.test login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with (
        host(lambda head, body: said("200 OK", Set_Cookie="a=b")) as there,
        host(lambda *_: said("502")) as proxy,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with guarded(f"hook.test:{there.port}") as client:
            for _ in range(2):
                assert (await client.request("GET", f"http://hook.test:{there.port}/")).status == 200
        assert proxy.heads == []
        assert not [head for head in there.heads if "cookie" in head.lower() or "authorization" in head.lower()]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
        "fd00::1",
        "224.0.0.1",
    ],
)
async def test_a_name_with_an_inner_address_is_refused(address: str) -> None:
    """Also where another of its addresses is a public one."""
    async with host(lambda *_: said("200 OK")) as there:
        for answer in ([address], ["93.184.215.14", address], [address, "93.184.215.14"], []):
            names = Names(hook_test=[answer])
            async with guarded(f"hook.test:{there.port}", names=names, networks="") as client:
                await refused(
                    client.request("GET", f"http://hook.test:{there.port}/?secret"), Invalid, "does not allow"
                )
        assert there.heads == []


async def test_the_address_that_was_checked_is_the_one_that_is_asked() -> None:
    """DNS rebinding: the name has an allowed address when it is looked at, and another a moment later."""
    async with host(lambda *_: said("200 OK")) as there:
        names = Names(hook_test=[["127.0.0.1"], ["169.254.169.254"]])
        async with guarded(f"hook.test:{there.port}", names=names) as client:
            assert (await client.request("GET", f"http://hook.test:{there.port}/")).status == 200
            assert names.asked == ["hook.test"]
            await refused(client.request("GET", f"http://hook.test:{there.port}/"), Invalid)
        assert len(there.heads) == 1


async def test_the_systems_resolver_and_the_forms_of_addresses_that_it_takes() -> None:
    async with host(lambda *_: said("200 OK")) as there:
        port = there.port
        forms = ("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "0")
        async with GuardedClient(Allowed()) as client:
            for form in forms:
                await refused(client.request("GET", f"http://{form}:{port}/secret"), Invalid)
        async with GuardedClient(parse_allowed(f"localhost:{port},127.0.0.1:{port}")) as client:
            for form in forms:  # the name and the address are allowed, the network is not
                await refused(client.request("GET", f"http://{form}:{port}/secret"), Invalid)
        assert there.heads == []
        async with GuardedClient(parse_allowed(f"localhost:{port},127.0.0.1:{port}", LOOPBACK)) as client:
            for form in ("localhost", "127.0.0.1"):
                assert (await client.request("GET", f"http://{form}:{port}/")).status == 200


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{inner}/",
        "http://localhost:{inner}/",
        "http://2130706433:{inner}/",
        "http://[::ffff:127.0.0.1]:{inner}/",
        "//other.test:{inner}/",
        "http://hook.test:{inner}/",
        "file:///etc/passwd",
        "http://user:secret@hook.test:{port}/",
        "http://hook.test:{port}@127.0.0.1:{inner}/",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
async def test_each_redirect_is_checked(location: str, status: str) -> None:
    async with host(lambda *_: said("200 OK")) as inner:
        async with host(lambda *_: said(status, Location=location.format(inner=inner.port, port=there.port))) as there:
            async with guarded(f"hook.test:{there.port}") as client:
                await refused(client.request("POST", f"http://hook.test:{there.port}/", body=b"x"), Invalid)
            assert len(there.heads) == 1
        assert inner.heads == []


async def test_redirects_that_are_allowed_are_followed_without_what_was_for_the_first() -> None:
    async with host(lambda *_: said("200 OK", b"here")) as second:
        async with (
            host(lambda *_: said("307 Temporary Redirect", Location=f"http://other.test:{second.port}/x")) as first,
            guarded(f"hook.test:{first.port}", f"other.test:{second.port}") as client,
        ):
            headers = {"Authorization": "Bearer abc", "Content-Type": "text/plain"}
            url = f"http://hook.test:{first.port}/"
            reply = await client.request("POST", url, headers=headers, body=b"body")
            assert (reply.body, reply.url) == (b"here", f"http://other.test:{second.port}/x")
        assert "authorization" not in second.heads[0].lower()
        assert second.heads[0].startswith("POST /x ")
        assert second.bodies == [b"body"]


async def test_a_see_other_is_got_without_the_body() -> None:
    def answer(head: str, body: bytes) -> bytes:
        return said("200 OK") if head.startswith("GET /b ") else said("303 See Other", Location="/b")

    async with host(answer) as there, guarded(f"hook.test:{there.port}") as client:
        assert (await client.request("POST", f"http://hook.test:{there.port}/a", body=b"x")).status == 200
        assert there.bodies == [b"x", b""]


async def test_a_circle_ends() -> None:
    async with host(lambda *_: said("302 Found", Location="/again")) as there:
        async with guarded(f"hook.test:{there.port}", limits=Limits(seconds=20, redirects=2)) as client:
            await refused(client.request("GET", f"http://hook.test:{there.port}/"), Invalid, "more than 2 times")
        assert len(there.heads) == 3


async def drip(pieces: bytes, pause: float) -> AsyncIterator[bytes]:
    while True:
        yield pieces
        await asyncio.sleep(pause)


async def after(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for piece in rest:
        yield piece


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        (lambda: drip(b"", 0.02), TimedOut),  # no head
        (lambda: after(HEAD, drip(b"", 0.02)), TimedOut),  # half of a head
        (lambda: after(HEAD, drip(b"X-A: b\r\n", 0.02)), TimedOut),  # a head that comes slowly
        (lambda: after(HEAD, drip(b"X-A: " + b"b" * 65536 + b"\r\n", 0)), Unavailable),  # an endless head
        (lambda: after(HEAD + b"\r\n", drip(b"x", 0.02)), TimedOut),  # a body that comes slowly
        (lambda: after(HEAD + b"\r\n", drip(b"x" * 65536, 0)), TooLarge),  # an endless body
        (lambda: after(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", drip(b"10000\r\n" + b"x" * 65536 + b"\r\n", 0)), TooLarge),
        (lambda: after(HEAD + b"Content-Length: 9999999999\r\n\r\n", drip(b"x" * 65536, 0)), TooLarge),
        (lambda: after(HEAD + b"Content-Encoding: gzip\r\n\r\n", drip(b"x", 0.02)), Unavailable),  # a bomb, perhaps
    ],
)  # fmt: skip
async def test_slow_and_endless_answers_end(
    pieces: Callable[[], AsyncIterator[bytes]], kind: type[HeadraceError]
) -> None:
    limits = Limits(seconds=0.5 if kind is TimedOut else 20, size=200_000)
    async with host(lambda *_: pieces()) as there, guarded(f"hook.test:{there.port}", limits=limits) as client:
        await refused(client.request("GET", f"http://hook.test:{there.port}/?secret"), kind)


async def test_who_is_not_there_is_unavailable() -> None:
    async with host(lambda *_: b"this is not HTTP\r\n\r\n") as there, guarded(f"hook.test:{there.port}") as client:
        await refused(client.request("GET", f"http://hook.test:{there.port}/secret"), Unavailable)
    async with guarded("hook.test:9", "gone.test:80") as client:
        await refused(client.request("GET", "http://hook.test:9/secret"), Unavailable)
        await refused(client.request("GET", "http://gone.test/secret"), Unavailable, "no address")


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async with host(lambda *_: said("200 OK")) as there:
        names = Names(hook_test=[["127.0.0.99", "127.0.0.1"]])
        async with guarded(f"hook.test:{there.port}", names=names) as client:
            assert (await client.request("GET", f"http://hook.test:{there.port}/")).status == 200


async def test_certificates_are_those_of_the_name() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    async with host(lambda *_: said("200 OK"), context) as there:
        names = Names(localhost=[["127.0.0.1"]], hook_test=[["127.0.0.1"]])
        async with guarded(f"localhost:{there.port}", f"hook.test:{there.port}", names=names) as client:
            assert (await client.request("GET", f"https://localhost:{there.port}/")).status == 200
            await refused(client.request("GET", f"https://hook.test:{there.port}/secret"), Unavailable)
        async with host(lambda *_: said("200 OK")) as plain:
            there.answer = lambda *_: said("302 Found", Location=f"http://localhost:{plain.port}/")
            async with guarded(f"localhost:{there.port}", f"localhost:{plain.port}", names=names) as client:
                await refused(client.request("GET", f"https://localhost:{there.port}/"), Invalid, "https to http")
            assert plain.heads == []


def test_a_url_is_looked_at_when_it_is_handed_in() -> None:
    client = guarded("hook.test:443")
    client.check("https://hook.test/")
    with pytest.raises(Invalid) as error:
        client.check("https://evil.test/", field="callback.content.url")
    assert error.value.field == "callback.content.url"
    assert httpx.URL("https://hook.test/").port is None
