"""Archives that somebody made to do harm: each is refused before anything is read or written."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.contracts.errors import Invalid, TooLarge
from shared.objects.tar_reader import LONGEST_HEADER, TarReader

GIB = 1 << 30


def member(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(data)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, data


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def raw(name: str, size: int, kind: bytes = tarfile.REGTYPE, data: bytes = b"") -> bytes:
    """A header as it stands, with whatever size; then `data`, filled up to whole blocks."""
    info = tarfile.TarInfo(name)
    info.type = kind
    head = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    if 0 <= size < 8 * GIB:
        head[124:136] = b"%011o\0" % size
    else:
        head[124:136] = (b"\x80" if size > 0 else b"\xff") + size.to_bytes(11, "big", signed=True)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data + bytes(-len(data) % 512)


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    lines = b""
    for key, value in records.items():
        line, length = f" {key}={value}\n".encode(), 0
        while length != len(str(length)) + len(line):
            length = len(str(length)) + len(line)
        lines += str(length).encode() + line
    return raw("pax", len(lines), kind, lines)


END = bytes(1024)
SPARSE_1_0 = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "b/x",
    "GNU.sparse.realsize": str(1 << 50),
}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        # names
        (tar(member("../x")), "not unpacked"),
        (tar(member("b/../../x")), "not unpacked"),
        (tar(member("/etc/x")), "not unpacked"),
        (tar(member("b//x")), "not unpacked"),
        (tar(member("b/./x")), "not unpacked"),
        (tar(member("b\\..\\x")), "backslash"),
        (tar(member("C:\\x")), "backslash"),
        (tar(member("b/x\ny")), "control"),
        (tar(member("b/\x1b[2Jx")), "control"),
        (tar(member("b/\u202egnp.exe")), "direction"),
        (tar(member("b/" + "n" * 256)), "255 bytes"),
        (tar(member("b/x\udcff"), format=tarfile.GNU_FORMAT), "not UTF-8"),
        (pax({"path": "../x"}) + raw("b/x", 0) + END, "not unpacked"),
        (pax({"path": "/etc/x"}, tarfile.XGLTYPE) + raw("b/x", 0) + END, "not unpacked"),
        (tar(member("b/x"), member("b/x", b"other")), "stands twice"),
        (tar(member("b/x"), member("b/x", type=tarfile.DIRTYPE, data=b"")), "stands twice"),
        # what is no file
        (tar(member("b/x", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "not a plain file"),
        (tar(member("b/x", b"", type=tarfile.SYMTYPE, linkname="y")), "not a plain file"),
        (tar(member("b/y"), member("b/x", b"", type=tarfile.LNKTYPE, linkname="b/y")), "not a plain file"),
        (tar(member("b/x", b"", type=tarfile.LNKTYPE, linkname="../../etc/passwd")), "not a plain file"),
        (tar(member("b/x", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)), "not a plain file"),
        (tar(member("b/x", b"", type=tarfile.BLKTYPE, devmajor=8)), "not a plain file"),
        (tar(member("b/x", b"", type=tarfile.FIFOTYPE)), "not a plain file"),
        (raw("b/x", 0, b"Q") + END, "not a plain file"),
        # bombs
        (raw("b/x", 1 << 50) + END, "as large as"),
        (raw("b/x", 4096, data=b"short") + END, "as large as"),
        (raw("b/x", -512) + END, "header of -512"),
        (raw("b/x", -(1 << 40)) + END, "header of -"),
        (raw("long", LONGEST_HEADER + 1, tarfile.GNUTYPE_LONGNAME, bytes(LONGEST_HEADER + 1)) + raw("b/x", 0) + END, "header of"),
        (raw("pax", 8 * GIB, tarfile.XHDTYPE) + END, "header of"),
        (raw("pax", 1 << 60, tarfile.XGLTYPE) + END, "header of"),
        (pax({"size": "-1024"}) + raw("b/x", 0) + END, "as large as"),
        (pax({"size": "-512"}) + raw("b/x", 0) + raw("b/y", 0) + END, "as large as"),
        (pax({"size": str(1 << 50)}) + raw("b/x", 0) + END, "as large as"),
        (pax(SPARSE_1_0) + raw("b/x", 512, data=b"1\n0\n1\n") + END, "not a plain file"),
        (pax(SPARSE_1_0) + raw("b/x", 512, data=b"9" * 512) + END, "not a tar"),
        (pax(SPARSE_1_0) + raw("b/x", 0) + END, "not a tar|not a plain file"),
        (pax({"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}) + raw("b/x", 1, data=b"x") + END, "not a plain file"),
        (pax({"mtime": "1"}) * 2000 + raw("b/x", 0) + END, "not a tar"),
        # nonsense
        (b"", "not a tar"),
        (b"nonsense" * 1000, "not a tar"),
        (b"\x1f\x8b" + bytes(2000), "not a tar"),
        (b"PK\x03\x04" + bytes(2000), "not a tar"),
    ],
)  # fmt: skip
def test_harm_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        TarReader(io.BytesIO(data))


def test_what_is_sparse_in_the_old_way_is_refused() -> None:
    """One map in the header itself: 512 bytes that claim to be a terabyte."""
    head = bytearray(raw("b/x", 512, tarfile.GNUTYPE_SPARSE, b"x" * 512))
    head[386:398], head[398:410], head[483:495] = (
        b"%011o\0" % 0,
        b"%011o\0" % 512,
        b"\x80" + (1 << 40).to_bytes(11, "big"),
    )
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    with pytest.raises(Invalid, match=r"not a plain file|as large as"):
        TarReader(io.BytesIO(bytes(head) + END))


def test_how_many_members_there_are_is_bounded() -> None:
    data = tar(*(member(f"b/{n}") for n in range(11)))
    assert len(TarReader(io.BytesIO(data), most=11).files) == 11
    with pytest.raises(Invalid, match="more than 10 members"):
        TarReader(io.BytesIO(data), most=10)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_is_ordinary_is_read(format: int, tmp_path: Path) -> None:
    long = "b/" + "/".join(["n" * 90] * 2)
    data = tar(
        member("b", b"", type=tarfile.DIRTYPE),
        member("b/empty", b""),
        member("b/ü é", b"data"),
        member(long),
        format=format,
    )
    with TarReader(io.BytesIO(data)) as reader:
        assert list(reader.files) == ["b/empty", "b/ü é", long]
        assert reader.read("b/ü é", limit=4) == b"data"
        with reader.open(long) as file:
            assert file.read() == b"x"
        with pytest.raises(TooLarge):
            reader.read("b/ü é", limit=3)
        with pytest.raises(KeyError):
            reader.read("b/none", limit=3)
        assert reader.target(long, "some/where", tmp_path) == tmp_path / "some/where"


def _folder(_: Path) -> None:
    return


def _out(folder: Path) -> None:
    (folder / "out").symlink_to("/tmp")


@pytest.mark.parametrize(
    ("path", "prepare"),
    [("../x", _folder), ("/etc/x", _folder), ("a/../../x", _folder), ("", _folder), ("a\0", _folder), ("out/x", _out), ("out", _out)],
)  # fmt: skip
def test_where_a_file_belongs_is_in_the_folder(path: str, prepare: Callable[[Path], None], tmp_path: Path) -> None:
    """Whatever lies in the folder: a link there may lead out of it."""
    prepare(tmp_path)
    with TarReader(io.BytesIO(tar(member("b/x")))) as reader, pytest.raises(Invalid):
        reader.target("b/x", path, tmp_path)
