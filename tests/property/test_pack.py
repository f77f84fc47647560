"""Whatever the files are called and however large they are: none is lost, and every byte is where it was said to be."""

from itertools import pairwise
from unicodedata import category

from hypothesis import given, settings
from hypothesis import strategies as st

from services.archiver.archive.packing import BLOCK, RECORD, share_out
from services.archiver.catalogue.store.files import File
from shared.contracts.errors import Invalid
from shared.objects.layout import check_path
from tests.support.tars import listed, members, packed, paths

SEGMENTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=120)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


def is_path(path: str) -> bool:
    try:
        check_path(path)
    except Invalid:
        return False
    return True


SIZES = st.dictionaries(st.text("abc/", min_size=1, max_size=5), st.integers(0, 30), max_size=20)
CONTENTS = st.dictionaries(PATHS.filter(is_path), st.binary(max_size=2 * BLOCK), max_size=6)


@given(sizes=SIZES, target=st.integers(1, 40))
def test_every_file_is_in_one_datablock(sizes: dict[str, int], target: int) -> None:
    files = [File(path, size, "") for path, size in sizes.items()]
    blocks = share_out(files, target)
    assert [file.path for block in blocks for file in block] == sorted(sizes)
    assert all(blocks)
    for block in blocks:
        assert sum(file.size for file in block) <= target or len(block) == 1
    for one, two in pairwise(blocks):  # none is cut off too early
        assert sum(file.size for file in one) + two[0].size > target
    assert share_out(files[::-1], target) == blocks


@settings(deadline=None)
@given(files=CONTENTS, piece=st.integers(1, 3 * BLOCK))
async def test_a_tar_is_what_it_announced(files: dict[str, bytes], piece: int) -> None:
    tar, data = await packed("bag_0", files, piece)
    assert len(data) == tar.size
    assert len(data) % RECORD == 0
    assert {path: data[at : at + len(files[path])] for path, at in tar.starts.items()} == files
    found = members(data)
    assert paths(list(found), "bag_0") == sorted(files)
    assert {path: found[f"bag_0/data/{path}"] for path in files} == files
    said = found["bag_0/manifest-sha256.txt"].decode().split("\n")[:-1]
    names = [line.split("  ", 1)[1].removeprefix("data/").replace("%25", "%") for line in said]
    assert names == [file.path for file in listed(files)]


@given(path=st.text(max_size=40) | PATHS)
def test_what_may_be_a_path_stays_inside(path: str) -> None:
    if is_path(path):
        segments = path.split("/")
        assert not {"", ".", ".."} & set(segments)
        assert not any(category(character) in ("Cc", "Cs", "Zl", "Zp") for character in path)
        assert "\\" not in path
        assert max(len(segment.encode()) for segment in segments) <= 255
