"""The HTTP edge as the commands use it: JSON in, JSON out, errors as exceptions with their exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from shared.client.cli.address import Address, find
from shared.client.cli.trouble import RefusedError, UnreachableError

ROOT = "/compute/v1"
_PATIENCE = httpx.Timeout(10, read=60)
_PATIENCE_BODY = httpx.Timeout(10, read=120, write=120)


class Api:
    """`with Api() as api: api.get("/ops/v1/status")`."""

    def __init__(self, address: Address | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.address = address or find()
        self._http = httpx.Client(
            base_url=self.address.url,
            headers={"Authorization": f"Bearer {self.address.token}"},
            timeout=_PATIENCE,
            transport=transport,
            trust_env=not is_loopback(self.address.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self._ask("POST", path, **({"json": body} if body is not None else {}), **options)

    def put(self, path: str, content: Iterator[bytes], headers: dict[str, str]) -> Any:
        """A body of any size; the other side stores it while it comes."""
        return self._ask("PUT", path, content=content, headers=headers, timeout=_PATIENCE_BODY)

    def patch(self, path: str, body: Any) -> Any:
        return self._ask("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        with self._reaching():
            answer = self._http.request(method, path, **options)
            _check(answer)
        return answer.json() if answer.content else None

    @contextmanager
    def stream(
        self, path: str, *, headers: dict[str, str] | None = None, patience: float | None = 60, **query: Any
    ) -> Iterator[httpx.Response]:
        """An answer to be read while it comes. `patience`: seconds of silence; None: any."""
        timeout = httpx.Timeout(10, read=patience)
        params = {name: value for name, value in query.items() if value is not None}
        with (
            self._reaching(),
            self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as answer,
        ):
            if answer.is_error:
                answer.read()
            _check(answer)
            yield answer

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"nobody answers at {self.address.url}: {why}") from None


def _check(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        told = answer.json()
    except ValueError:
        told = {}
    raise RefusedError(answer.status_code, told if isinstance(told, dict) else {})


def is_loopback(url: str) -> bool:
    """A proxy from the environment is of no use there."""
    try:
        return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
    except httpx.InvalidURL as error:
        raise UnreachableError(f"{url!r} is not an address: {error}") from None
