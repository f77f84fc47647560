"""`headrace storage init`: writes the marker that says which storage this is. Once; a storage that has one keeps it."""

from pathlib import Path

from shared.contracts.errors import AlreadyExists, Conflict, NotFound
from shared.objects.bucket import Bucket
from shared.objects.folder import Folder
from shared.objects.identity import Identity, decode, encode, new
from shared.objects.layout import check_name


def init_folder(root: Path, name: str, *, in_use: bool = False) -> Identity:
    """Makes a folder the storage `name`; its identity, new or as it was.

    `in_use`: it may hold something already, as a storage from before there were markers does. NotFound if there is no such
    folder, Conflict if it holds something or is another storage, OSError of the file system.
    """
    check_name(name)
    try:
        folder = Folder(str(root))
    except FileNotFoundError:
        raise NotFound(f"there is no folder {root}: mount the share first") from None
    if (marker := folder.marker()) is not None:
        return _same(decode(marker, str(root)), name, str(root))
    if not in_use and not set(folder.names()) <= _OF_THE_FILE_SYSTEM:
        raise Conflict(f"{root} is not empty: {_IN_USE}")
    made = new(name)
    try:
        folder.write_marker(encode(made))
    except FileExistsError:  # somebody else was first
        return _same(decode(folder.marker() or b"", str(root)), name, str(root))
    return made


async def init_bucket(bucket: Bucket, name: str, *, in_use: bool = False) -> Identity:
    """Makes a bucket the storage `name`; its identity, new or as it was. The bucket is made if there is none.

    Conflict if it holds something (unless `in_use`), or is another storage.
    """
    check_name(name)
    await bucket.make()
    if (marker := await bucket.marker()) is None:
        if not in_use and not await bucket.is_empty():
            raise Conflict(f"{bucket} is not empty: {_IN_USE}")
        made = new(name)
        try:
            await bucket.write_marker(encode(made))
        except AlreadyExists:  # somebody else was first
            marker = await bucket.marker()
        else:
            return made
    return _same(decode(marker or b"", str(bucket)), name, str(bucket))


_OF_THE_FILE_SYSTEM = {"lost+found", ".snapshot"}
_IN_USE = "is it the right one? If it was a storage before there were markers, say --in-use"


def _same(found: Identity, name: str, place: str) -> Identity:
    if found.name != name:
        raise Conflict(f"{place} is storage {found.name!r} already")
    return found
