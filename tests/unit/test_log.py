"""What never reaches a log, and a log that reaches nobody."""

import errno
import io

import pytest

from shared.runtime.log import LossyStream, configure, redact


def redacted(**event: object) -> dict[str, object]:
    return dict(redact(None, "info", dict(event)))


@pytest.mark.parametrize("key", ["token", "password", "secret", "secret_key", "authorization"])
def test_secrets_by_name(key: str) -> None:
    assert redacted(**{key: "s3cret", "count": 3}) == {key: "***", "count": 3}


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("nats://u:p@h:4222", "nats://u:***@h:4222"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("http://s3/b/k?X-Amz-Signature=abc&x=1", "http://s3/b/k?X-Amz-Signature=***&x=1"),
        ("X-Amz-Credential=me%2F2026&X-Amz-Security-Token=t", "X-Amz-Credential=***&X-Amz-Security-Token=***"),
        ("http://127.0.0.1:8080/health", "http://127.0.0.1:8080/health"),
    ],
)
def test_secrets_inside_texts(text: str, received: str) -> None:
    assert redacted(error=text) == {"error": received}


def test_a_level_that_is_none_names_its_variable() -> None:
    with pytest.raises(SystemExit, match="HEADRACE_LOG_LEVEL"):
        configure("test", "loud")


def test_a_log_on_a_full_disk_stops_nobody() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            self.write("")

    out = LossyStream(Full())
    out.write("lost\n")
    out.flush()
