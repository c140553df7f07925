"""Object storage behind one protocol: what reading, writing and listing promise, wherever objects lie.

`jobs.storage_folder` and `jobs.storage_s3` keep the promises; `Storages` finds the right one for a location.
No transaction is open during these calls (they take seconds when storage is slow), and nothing here retries
beyond a few bounded attempts: an error with `retryable` set is the caller's to try again later.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from jobs.locations import Scheme

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from jobs.locations import Location
    from jobs.s3_client import S3Server


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object without its bytes."""

    key: str
    size_bytes: int
    etag: str  # changes when the object does; compare for equality only


class Storage(Protocol):
    """The objects in one folder of locations. Safe to use from many threads.

    Keys are whole keys, as in `Location.key`. Every method raises AccessDenied for a key outside the folder
    and wherever storage says so, and StorageError, which is retryable, when storage does not answer.
    """

    def read(self, key: str, *, max_bytes: int) -> bytes:
        """Return the object's bytes; raise ObjectTooLarge, without fetching more, if they exceed `max_bytes`.

        Raises ObjectMissing if there is no such object.
        """

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Stream an object of any size in flat memory; reading raises StorageError if it changes meanwhile.

        Raises ObjectMissing if there is no such object.
        """

    def write(self, key: str, data: bytes, *, media_type: str, order: str | None = None) -> None:
        """Store an object, replacing what was there: readers see the old bytes or the new, never a part.

        Of writers that give an order, as text that sorts, the later one's object stays: the earlier one raises
        Superseded. Only S3 keeps to that, where the server knows conditional writes; a folder takes what comes last.
        """

    def upload(self, key: str, path: Path, *, media_type: str) -> None:
        """Store a local file of any size as `write` would, in flat memory."""

    def stat(self, key: str) -> ObjectInfo:
        """Return what is known about an object; raise ObjectMissing if there is none."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with `prefix`, ascending by the UTF-8 bytes of their keys.

        With `after`, a key yielded earlier, go on behind it. SeaweedFS departs from the order of S3: it sorts
        folder by folder, as if `/` came before all other characters; `after` goes on correctly there too.
        """

    def delete(self, key: str) -> None:
        """Remove an object; it is fine if there is none."""


class Storages:
    """The storages of one process; they share one S3 client with a bounded pool of connections."""

    def __init__(
        self,
        *,
        s3_endpoint_url: str | None = None,  # None: that of AWS
        s3_region: str | None = None,  # None: from the environment or the profile
        max_connections: int = 64,
    ) -> None:
        self._endpoint_url = s3_endpoint_url
        self._region = s3_region
        self._max_connections = max_connections
        self._s3_lock = threading.Lock()
        self._s3_server: S3Server | None = None

    def at(self, location: Location) -> Storage:
        """The storage that reaches `location.folder` and what lies below it, and nothing else."""
        # Imported here: boto3 takes half a second that a process without S3 need not spend.
        if location.scheme is Scheme.FILE:
            from jobs.storage_folder import FolderStorage

            return FolderStorage(location.folder.key)
        from jobs.storage_s3 import S3Storage

        return S3Storage(self._s3(), location.root, location.folder.key)

    def close(self) -> None:
        """Close the connections; storages given out before stop working."""
        with self._s3_lock:
            if self._s3_server is not None:
                self._s3_server.client.close()
                self._s3_server = None

    def _s3(self) -> S3Server:
        # Building a client is not safe from several threads; using it is.
        with self._s3_lock:
            if self._s3_server is None:
                from jobs.s3_client import S3Server

                self._s3_server = S3Server(
                    endpoint_url=self._endpoint_url, region=self._region, max_connections=self._max_connections
                )
            return self._s3_server
