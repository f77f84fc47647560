"""One object of a bucket that cannot be read, and a bucket that is away: the answers look alike."""

from typing import Any

import pytest

from shared.contracts.errors import Unavailable, Unreadable
from shared.objects.identity import Guard, encode, new
from shared.objects.layout import MARKER
from shared.objects.s3 import S3Objects
from shared.runtime.retry import Backoff

IDENTITY = new("lts")


class Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, length: int) -> bytes:
        data, self._data = self._data, b""
        return data

    async def __aenter__(self) -> "Body":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Call:
    """Answers as a caller whose patience has ended. `broken`: keys that are answered by 500."""

    bucket, patience, backoff = "lts", 0.0, Backoff(first=0.1)

    def __init__(self, *broken: str) -> None:
        self._broken = broken

    async def __call__(self, verb: str, key: str = "", **_: Any) -> dict[str, Any]:
        assert verb == "get_object"
        if key in self._broken:
            raise Unavailable("object storage cannot do this now (InternalError)")
        return {"ETag": "1", "Body": Body(encode(IDENTITY))}


@pytest.mark.parametrize(("broken", "error"), [(("a",), Unreadable), (("a", MARKER), Unavailable)])
async def test_one_object_or_the_whole_bucket(broken: tuple[str, ...], error: type[Exception]) -> None:
    call: Any = Call(*broken)
    objects = S3Objects(call, None, None, Guard("lts"), fresh=0)
    with pytest.raises(Unavailable) as raised:
        await objects.read("a", limit=1000)
    assert type(raised.value) is error
