"""Errors: a code each, found again by it on the other side; the tree in the docstring is the tree."""

import re

import pytest

from shared.contracts import errors
from shared.contracts.errors import BY_CODE, ErrorBody, HeadraceError, Internal, Invalid, NotFound, from_body


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_an_error_survives_the_wire(kind: type[HeadraceError]) -> None:
    received = kind("what", field="where")
    back = from_body(received.body("trace"))
    assert (type(back), back.message, back.field) == (kind, "what", "where")
    assert received.body("trace") == ErrorBody(kind.code, "what", "where", "trace")
    assert kind("").message == (kind.__doc__ or "").strip()


def test_codes_differ_and_an_unknown_one_is_internal() -> None:
    here = [kind for kind in HeadraceError.__subclasses__() if kind.__module__ == errors.__name__]
    assert len(BY_CODE) == len(here)
    assert type(from_body(ErrorBody("from_the_future", "hm"))) is Internal


def test_the_docstring_draws_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)\s+(\w+)\s+(\d+)\s+(.*)", errors.__doc__ or "")
    assert {name: (code, int(status), "(retryable)" in rest) for name, code, status, rest in drawn} == {
        kind.__name__: (kind.code, kind.status, kind.retryable) for kind in BY_CODE.values()
    }


def test_only_the_servers_side_can_be_retried() -> None:
    assert all(kind.retryable == (kind.status >= 429) for kind in BY_CODE.values())
    assert not Invalid.retryable
    assert not NotFound.retryable
