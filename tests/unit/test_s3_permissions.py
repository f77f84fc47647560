"""The keys of the object store, as data: each opens its own prefixes, and no other."""

import json
import sys
from fnmatch import fnmatchcase
from typing import Any

import pytest

from deploy.s3.__main__ import main
from deploy.s3.permissions import IMPORTERS, RIGHTS, USERS, kind, policy, rights
from shared.objects.layout import MARKER

OBJECT_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
KEYS = (
    "results/s/r/w",
    "landing/d/a",
    "staging/d/u/b.tar",
    "retrieval/d/b.tar",
    "datasets/d/b.tar",
    "shelf/a",
    "results",
    MARKER,
)


def may(document: dict[str, Any], action: str, key: str) -> bool:
    return any(
        action in one["Action"]
        and any(fnmatchcase(f"arn:aws:s3:::bucket/{key}", pattern) for pattern in one["Resource"])
        for one in document["Statement"]
    )


@pytest.mark.parametrize(
    ("action", "key", "who"),
    [
        ("s3:GetObject", "results/s/r/w", {"gateway", "scheduler", "retriever", "worker"}),
        ("s3:PutObject", "results/s/r/w", {"gateway", "retriever", "worker"}),
        ("s3:DeleteObject", "results/s/r/w", {"gateway", "scheduler", "retriever"}),
        *((action, "landing/d/a", {"archiver"}) for action in OBJECT_ACTIONS),
        *((action, "staging/d/u/b.tar", {"archiver"}) for action in OBJECT_ACTIONS),
        *((action, "retrieval/d/b.tar", {"retriever"}) for action in OBJECT_ACTIONS),
        *((action, "datasets/d/b.tar", set()) for action in OBJECT_ACTIONS),
        *((action, "results", set()) for action in OBJECT_ACTIONS),
        ("s3:GetObject", MARKER, set(RIGHTS)),
        ("s3:PutObject", MARKER, set()),
        ("s3:DeleteObject", MARKER, set()),
        ("s3:GetObject", "shelf/a", set(IMPORTERS)),
        ("s3:PutObject", "shelf/a", set()),
    ],
)
def test_who_may(action: str, key: str, who: set[str]) -> None:
    """Whoever is of a kind may the same."""
    users = {user for user in USERS if may(policy(user, "bucket", ("shelf/",)), action, key)}
    assert users == {user for user in USERS if kind(user) in who}


@pytest.mark.parametrize("user", USERS)
def test_nothing_is_allowed_on_all_of_the_bucket(user: str) -> None:
    """Lists name a prefix; nothing else has the bucket itself, or a star at its beginning, for its resource."""
    for one in policy(user, "bucket")["Statement"]:
        assert one["Effect"] == "Allow"
        for resource in one["Resource"]:
            if resource == "arn:aws:s3:::bucket":
                assert set(one["Action"]) == {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
                assert all(prefix.endswith("/*") for prefix in one["Condition"]["StringLike"]["s3:prefix"])
            else:
                assert resource == f"arn:aws:s3:::bucket/{MARKER}" or resource.endswith("/*")
                assert resource.count("*") == (0 if resource.endswith(MARKER) else 1)


def test_imports_are_read_only_and_only_where_they_are_allowed() -> None:
    assert rights("worker", ("shelf/",))["shelf/"] == ("read",)
    assert "shelf/" not in rights("worker")
    assert "shelf/" not in rights("archiver", ("shelf/",))


def test_the_command_prints_a_policy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["deploy.s3", "worker", "--bucket", "mine", "--imports", "shelf"])
    main()
    assert json.loads(capsys.readouterr().out) == policy("worker", "mine", ("shelf/",))
