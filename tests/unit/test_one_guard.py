"""What comes from elsewhere passes one place: names, archives, URLs. No module beside it does the same in its own way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for part in ("services", "shared", "deploy") for path in (ROOT / part).rglob("*.py"))

READS_TARS = {"shared/objects/tar_reader.py"}
WRITES_TARS = {"services/archiver/archive/packing.py"}
"""The packer takes constants and headers of `tarfile`; it opens none."""
MAKES_REQUESTS = {
    "shared/service/guarded/allowed.py": "parses URLs of users",
    "shared/service/guarded/client.py": "the one for URLs of users",
    "services/gateway/identity/oidc.py": "the identity provider that the operator configured",
    "shared/client/http.py": "the client, to the address that its user set",
    "shared/client/headrace.py": "the client, to the address that its user set",
    "shared/client/object_storage.py": "the client, to addresses that the services signed",
    "shared/client/uploads.py": "the client, to addresses that the services signed",
    "shared/client/downloads.py": "the client, to addresses that the services signed",
    "shared/objects/s3_errors.py": "names of errors",
    "deploy/local/nats.py": "asks the embedded stack's own NATS server whether it is ready",
    "deploy/local/system.py": "asks the embedded stack's own gateway whether it is ready",
}
NETWORK = {"httpx", "aiohttp", "requests", "urllib3", "http.client", "urllib.request"}
ARCHIVES = {"tarfile", "zipfile", "gzip", "bz2", "lzma"}
LEADS_UP = {"shared/objects/layout.py"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


TREES = {relative(path): ast.parse(path.read_text()) for path in SOURCES}


def importing(names: set[str]) -> set[str]:
    return {path for path, tree in TREES.items() if names & {*imported(tree)}}


def test_archives_are_read_in_one_place() -> None:
    assert importing(ARCHIVES) == READS_TARS | WRITES_TARS
    (packing,) = WRITES_TARS
    calls = {node.attr for node in ast.walk(TREES[packing]) if isinstance(node, ast.Attribute)}
    assert not calls & {"open", "TarFile", "extract", "extractall", "extractfile"}


def test_requests_are_made_where_it_is_known_to_whom() -> None:
    """A module that is new here says whose addresses it asks; those of users go to the guarded client."""
    assert importing(NETWORK) == set(MAKES_REQUESTS)


def test_nothing_unpacks_by_other_means() -> None:
    found = {path for path, tree in TREES.items() if {"shutil.unpack_archive"} & {*imported(tree)}}
    named = {
        path
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("unpack_archive", "extractall")
    }
    assert found | named == set()


def test_one_place_knows_names_that_lead_up() -> None:
    holding = {
        path
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == ".."
    }
    assert holding == LEADS_UP


@pytest.mark.parametrize("path", sorted(MAKES_REQUESTS))
def test_the_list_has_no_more_than_there_is(path: str) -> None:
    assert path in TREES
