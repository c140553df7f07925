"""Storage in the file system: a key is a path, a write is a rename.

Decisions:
- A link is followed while it ends inside the folder of this storage, and refused otherwise. Lists show links
  to files, but do not enter links to folders, which could lead in circles.
- A write flushes the file before it takes its name, but not the folder's entry after it: a power cut leaves
  the old object, the new one or (if it was new) none, never a part of one under its name.
- Unfinished writes are hidden files named `.restyle-tmp-*`, which are not listed. Those that a crash leaves
  may be removed.
- A name that is not UTF-8 is listed with U+FFFD in it; reading that key then fails as missing, so that one
  strange name costs one item and is not passed over in silence.
- Memory for a list grows with the names in the largest folder (about 100 bytes each), not with all keys.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from jobs.errors import AccessDenied, ObjectMissing, ObjectTooLarge, StorageError
from jobs.locations import TEMPORARY_PREFIX
from jobs.storage import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

COPY_BYTES = 1 << 20
# What another try does not cure; everything else (a full disk, a broken network mount) is worth one.
MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP}
IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}


class FolderStorage:
    """The files at and below one folder: a Storage whose keys are absolute paths without the first slash."""

    def __init__(self, folder: str) -> None:
        self._folder = folder  # "" or ends with a slash

    def read(self, key: str, *, max_bytes: int) -> bytes:
        with self._opened(key) as file:
            size = os.fstat(file.fileno()).st_size
            # The file may grow between the two looks, so the size alone is not enough.
            data = b"" if size > max_bytes else file.read(max_bytes + 1)
        if max(size, len(data)) > max_bytes:
            raise ObjectTooLarge(f"{key!r} has {max(size, len(data))} bytes; the limit is {max_bytes}")
        return data

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with io.BufferedReader(self._opened(key), COPY_BYTES) as stream:
            yield stream

    def write(self, key: str, data: bytes, *, media_type: str, order: str | None = None) -> None:
        with self._replacing(key) as file:
            file.write(data)

    def upload(self, key: str, path: Path, *, media_type: str) -> None:
        with path.open("rb") as source, self._replacing(key) as file:
            shutil.copyfileobj(source, file, COPY_BYTES)

    def stat(self, key: str) -> ObjectInfo:
        with _reading(key):
            status = self._path(key).stat()
        if not stat.S_ISREG(status.st_mode):
            raise ObjectMissing(f"{key!r} is not a file")
        return _info(key, status)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        folder = prefix[: prefix.rfind("/") + 1]
        if not prefix.startswith(self._folder) or not self._holds(f"/{folder}"):
            raise _outside(prefix)
        if folder and not _is_name(folder[:-1]):
            return  # no key starts like this
        with _reading(prefix):
            yield from self._walk(f"/{folder}".encode(), folder.encode(), prefix.encode(), (after or "").encode())

    def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectMissing), _reading(key):
            path = self._path(key)
            if not path.is_dir():
                path.unlink()

    def _opened(self, key: str) -> _File:
        with _reading(key):
            # Without blocking, because opening a pipe would wait for somebody to write to it.
            file = _File(os.open(self._path(key), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), key)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise ObjectMissing(f"{key!r} is not a file")
        return file

    @contextlib.contextmanager
    def _replacing(self, key: str) -> Iterator[BinaryIO]:
        """Lend a hidden file, and give it the key's name when the block ends well."""
        with _writing(key):
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
            try:
                with temporary.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def _path(self, key: str) -> Path:
        """Where the object lies or would lie, once it is known to be inside: by name and through links."""
        if not _is_name(key):
            raise ObjectMissing(f"{key!r} can be the name of no file")
        if not key.startswith(self._folder) or not self._holds(f"/{key}"):
            raise _outside(key)
        return Path(f"/{key}")

    def _holds(self, path: str) -> bool:
        """Whether the path leads into the folder when all links on it are followed."""
        return _real(path).startswith(_real(f"/{self._folder}"))

    def _walk(self, folder: bytes, keys: bytes, prefix: bytes, after: bytes) -> Iterator[ObjectInfo]:
        """Yield what lies in `folder`, below the key `keys`; the two differ where a name is not UTF-8."""
        for name in _sorted_names(folder):
            key = keys + _utf8(name)
            if not key.startswith(prefix) and not prefix.startswith(key):
                continue
            if name.endswith(b"/"):
                # Behind `after`, or on the way to it; otherwise all of the folder has been yielded.
                if key > after or after.startswith(key):
                    yield from self._walk(folder + name, key, prefix, after)
            elif key > after and key.startswith(prefix):
                # What goes away meanwhile, or leads to no file of ours, is not listed.
                with contextlib.suppress(FileNotFoundError, ObjectMissing, AccessDenied):
                    yield self._listed(folder + name, key.decode())

    def _listed(self, path: bytes, key: str) -> ObjectInfo:
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            return _info(key, status)
        return self.stat(key)


class _File(io.FileIO):
    """A file whose reading fails as storage does."""

    def __init__(self, descriptor: int, key: str) -> None:
        super().__init__(descriptor)
        self._key = key

    def readinto(self, buffer: Buffer, /) -> int:
        with _reading(self._key):
            return super().readinto(buffer) or 0

    def read(self, size: int | None = -1, /) -> bytes:
        with _reading(self._key):
            return super().read(size) or b""


def _sorted_names(folder: bytes) -> list[bytes]:
    """The names in a folder, in the order of the keys below them, each folder's with its slash.

    The slash takes part in the order: `a-b` comes before `a/b`, although `a` comes before `a-b`.
    """
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name + b"/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
                if not entry.name.startswith(TEMPORARY_PREFIX.encode())
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []  # as in S3, where a prefix without objects is no error
    names.sort(key=_utf8)
    return names


def _utf8(name: bytes) -> bytes:
    return name.decode(errors="replace").encode()


def _is_name(key: str) -> bool:
    """Whether a file can have this key, and no other key as well."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in key and set(key.split("/")).isdisjoint({"", ".", ".."})


def _real(path: str) -> str:
    """The path without links, ending in one slash, so that one may be compared as the other's prefix."""
    return os.path.realpath(path).rstrip("/") + "/"


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    # A replaced file has another inode even where the clock is too coarse to tell.
    etag = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
    return ObjectInfo(key=key, size_bytes=status.st_size, etag=etag)


def _outside(key: str) -> AccessDenied:
    return AccessDenied(f"{key!r} lies outside the folder of this storage, by name or through a link")


@contextlib.contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DENIED:
            raise AccessDenied(f"{key!r} may not be read: {error.strerror}") from error
        if error.errno in MISSING:
            raise ObjectMissing(f"{key!r} is not there: {error.strerror}") from error
        raise StorageError(f"{key!r} could not be read: {error.strerror}") from error


@contextlib.contextmanager
def _writing(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DENIED | IN_THE_WAY:
            raise AccessDenied(f"{key!r} may not be written: {error.strerror}") from error
        raise StorageError(f"{key!r} could not be written: {error.strerror}") from error
