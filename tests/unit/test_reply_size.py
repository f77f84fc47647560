"""What no message can carry is refused with its size. Such a reply was `internal`, and nowhere in the log; such a request took the
whole process off the bus, as the server ends the connection for it."""

import msgspec
import pytest
from structlog.testing import capture_logs

from shared.bus.publish import LARGEST
from shared.contracts.endpoint import Query
from shared.contracts.errors import TooLarge
from shared.service.context import Context
from shared.service.service import Service
from shared.testing.bus import MemoryBroker


class Size(msgspec.Struct, frozen=True):
    size: int


class Text(msgspec.Struct, frozen=True):
    text: str


async def answer(ctx: Context, asked: Size) -> Text:
    return Text("x" * asked.size)


async def test_a_reply_that_does_not_fit() -> None:
    broker = MemoryBroker()
    bus = await broker.connect("archiver")
    service = Service(bus, None, "archiver", "1.0.0", "")
    service.on(Query("archiver", "dataset", "list", Size, Text, None, "A text of that size."), answer)
    await service.start()
    subject, most = "hr.rpc.archiver.dataset.list", LARGEST
    around = len(msgspec.json.encode(Text("")))
    fits = await bus.request(subject, Size(most - around), Text)
    assert len(fits.text) == most - around
    with (
        capture_logs() as logs,
        pytest.raises(TooLarge, match=f"the reply has {most + 1} bytes, a message at most {most}"),
    ):
        await bus.request(subject, Size(most - around + 1), Text)
    seen = [line for line in logs if line["event"] == "reply.too_large"]
    assert [(line["subject"], line["bytes"]) for line in seen] == [(subject, most + 1)]
    for size in (LARGEST + 1, 2 * LARGEST):
        with pytest.raises(TooLarge, match=f"the request has {size} bytes, a message at most {LARGEST}"):
            await bus.ask(subject, b" " * size)
    await service.stop()
    await bus.close()
