"""Storage in S3, or in a server that speaks its protocol, through one boto3 client.

Credentials come from boto's default chain (environment, profile, web identity, instance). `jobs.s3_client` has the
client, `jobs.s3_digests` tells what an answer says about the bytes that should have come.
"""

from __future__ import annotations

import contextlib
import io
import time
from typing import TYPE_CHECKING, Any, BinaryIO

import urllib3.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from jobs.errors import AccessDenied, ObjectMissing, ObjectTooLarge, StorageError, Superseded
from jobs.s3_digests import crc32_of, md5_of, promised_md5, tag_md5
from jobs.storage import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from botocore.response import StreamingBody
    from types_boto3_s3.type_defs import HeadObjectOutputTypeDef
    from typing_extensions import Buffer

    from jobs.s3_client import S3Server

OBJECT_SECONDS = 120  # to read a whole object of limited size; a server that crawls counts as one that does not answer
CHUNK_BYTES = 64 << 10  # read between two looks at the clock
RANGE_BYTES = 8 << 20  # of a stream, fetched by one request
PAGE_KEYS = 1000  # of a list; the most that S3 gives
PART_BYTES = 16 << 20  # of a large upload
UPLOAD_THREADS = 4

DENIED_STATUSES = {401, 403}
CONDITION_FAILED = {409, 412}  # 409: somebody else writes it at this moment
NOT_IMPLEMENTED = 501
WRITES = 4  # of one object: a second is needed where there was one before, more only in a race
ORDER = "restyle-order"  # metadata of outputs: who may replace them
CLOCK_IS_WRONG = "RequestTimeTooSkewed"  # answered with 403, but it is this machine's fault and passes


class S3Storage:
    """The objects of one bucket whose keys start with `folder`: a Storage."""

    def __init__(self, server: S3Server, bucket: str, folder: str) -> None:
        self._client = server.client
        self._habits = server.habits(bucket)
        self._bucket = bucket
        self._folder = folder  # "" or ends with a slash

    def read(self, key: str, *, max_bytes: int) -> bytes:
        data, md5 = self._get(key, max_bytes)
        if md5 is None or not self._habits.etags_are_md5 or md5_of(data) == md5:
            return data
        # Damaged on the way, or a server whose tags only look like digests. Nothing is damaged twice in the same way.
        again, md5 = self._get(key, max_bytes)
        if md5_of(again) == md5:
            return again
        if again != data:
            raise StorageError(f"{key!r} in bucket {self._bucket!r} arrives damaged")
        self._habits.etags_are_md5 = False
        return data

    def _get(self, key: str, max_bytes: int) -> tuple[bytes, str | None]:
        """Return an object, and the MD5 that it should have, where that is all that its bytes can be checked by."""
        with self._call(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                data = b"" if size > max_bytes else _read_in_time(body, max_bytes + 1)
        if max(size, len(data)) > max_bytes:
            raise ObjectTooLarge(f"{key!r} has {max(size, len(data))} bytes; the limit is {max_bytes}")
        return data, promised_md5(answer)

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with io.BufferedReader(_Ranges(self, self.stat(key)), RANGE_BYTES) as stream:
            yield stream

    def write(self, key: str, data: bytes, *, media_type: str, order: str | None = None) -> None:
        if order is None or not self._habits.conditional:
            with self._call(key):
                self._put(key, data, media_type)
            return
        replaced = None
        for _ in range(WRITES):
            with self._call(key):
                if self._put_if(key, data, media_type, order, replaced):
                    return
                found = self._found(key)
            if found is not None:
                theirs = found["Metadata"].get(ORDER, "")
                if theirs > order:
                    raise Superseded(f"{key!r} was written by a later job meanwhile")
                if theirs == order and tag_md5(found) == md5_of(data):
                    return  # an earlier attempt's, or our own, whose answer was lost
            replaced = None if found is None else found["ETag"]
        raise StorageError(f"{key!r} in bucket {self._bucket!r} changes whenever it is to be written")

    def _put(self, key: str, data: bytes, media_type: str, **more: Any) -> None:
        # As a header, which every server takes or ignores; boto's own way is a trailer, that some refuse.
        answer = self._client.put_object(
            Bucket=self._bucket, Key=key, Body=data, ContentType=media_type, ChecksumCRC32=crc32_of(data), **more
        )
        md5 = promised_md5(answer)
        if md5 is None or not self._habits.etags_are_md5 or md5_of(data) == md5:
            return
        if self._get(key, len(data))[0] != data:
            raise StorageError(f"{key!r} in bucket {self._bucket!r} was stored damaged")
        self._habits.etags_are_md5 = False

    def _put_if(self, key: str, data: bytes, media_type: str, order: str, replaced: str | None) -> bool:
        """Store unless something else lies there than what was seen. Return whether it was stored."""
        condition = {"IfNoneMatch": "*"} if replaced is None else {"IfMatch": replaced}
        try:
            self._put(key, data, media_type, Metadata={ORDER: order}, **condition)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in CONDITION_FAILED or (status == 404 and replaced and _code(error) != "NoSuchBucket"):
                return False
            if status != NOT_IMPLEMENTED:
                raise
            self._habits.conditional = False
            self._put(key, data, media_type)
        return True

    def _found(self, key: str) -> HeadObjectOutputTypeDef | None:
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def upload(self, key: str, path: Path, *, media_type: str) -> None:
        transfer = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=UPLOAD_THREADS
        )
        # Not upload_file, which hides the reason of a failure in a text.
        with path.open("rb") as file, self._call(key):
            self._client.upload_fileobj(file, self._bucket, key, ExtraArgs={"ContentType": media_type}, Config=transfer)

    def stat(self, key: str) -> ObjectInfo:
        with self._call(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        return ObjectInfo(key=key, size_bytes=answer["ContentLength"], etag=answer["ETag"].strip('"'))

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._call(prefix):
            for page in pages.paginate(
                Bucket=self._bucket,
                Prefix=prefix,
                StartAfter=after or "",
                PaginationConfig={"PageSize": PAGE_KEYS},
            ):
                for each in page.get("Contents", []):
                    info = ObjectInfo(key=each["Key"], size_bytes=each["Size"], etag=each["ETag"].strip('"'))
                    # Consoles draw a folder by an empty object of its name: not an object to anybody.
                    if info.size_bytes or not info.key.endswith("/"):
                        yield info

    def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectMissing), self._call(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def read_range(self, info: ObjectInfo, start: int, size: int) -> bytes:
        """Return bytes of an object that must be the one of `info` still."""
        with self._call(info.key):
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=info.key,
                Range=f"bytes={start}-{start + size - 1}",
                IfMatch=f'"{info.etag}"',
            )
            with contextlib.closing(answer["Body"]) as body:
                return body.read()

    @contextlib.contextmanager
    def _call(self, key: str) -> Iterator[None]:
        """Check that the key is ours to use, and turn what boto raises into our errors."""
        if not key.startswith(self._folder):
            raise AccessDenied(f"{key!r} lies outside the folder {self._folder!r} of this storage")
        # S3 takes these as they are, but some servers that speak its protocol would leave the folder by them.
        if not {".", ".."}.isdisjoint(key.split("/")):
            raise AccessDenied(f"{key!r} has a segment . or .., which is not used")
        try:
            yield
        except ClientError as error:
            raise self._error(key, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AccessDenied(
                f"no credentials for bucket {self._bucket!r}: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or give this machine a role"
            ) from error
        except ParamValidationError as error:
            raise ObjectMissing(f"{key!r} in bucket {self._bucket!r} can be no object: {error}") from error
        except FlexibleChecksumError as error:
            raise StorageError(f"{key!r} in bucket {self._bucket!r} arrives damaged: {error}") from error
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise StorageError(f"storage did not answer for {key!r} in bucket {self._bucket!r}: {error}") from error

    def _error(self, key: str, error: ClientError) -> StorageError:
        code = _code(error)
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        what = f"{key!r} in bucket {self._bucket!r}"
        if code == "NoSuchBucket":
            return ObjectMissing(f"there is no bucket {self._bucket!r}")
        if status == 404 or code == "KeyTooLongError":
            return ObjectMissing(f"{what} is not there ({code})")
        if status in DENIED_STATUSES and code != CLOCK_IS_WRONG:
            return AccessDenied(f"storage refuses access to {what} ({code})")
        if status == 412:
            return StorageError(f"{what} changed while it was read")
        return StorageError(f"storage failed for {what}: {error}")


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _read_in_time(body: StreamingBody, max_bytes: int) -> bytes:
    """Return a body, or as much of it; boto checks length and checksum when it sees the end."""
    until = time.monotonic() + OBJECT_SECONDS
    chunks, left = [], max_bytes
    while left and (chunk := body.read(min(CHUNK_BYTES, left))):
        chunks.append(chunk)
        left -= len(chunk)
        if time.monotonic() > until:
            raise StorageError(f"an object was not read within {OBJECT_SECONDS} s")
    return b"".join(chunks)


class _Ranges(io.RawIOBase):
    """An object as a stream, each filling of the buffer one request of its own.

    One long response would break when its reader pauses for longer than the server's patience, and planning
    does pause, to write to the database.
    """

    def __init__(self, storage: S3Storage, info: ObjectInfo) -> None:
        self._storage = storage
        self._info = info
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        size = min(size, self._info.size_bytes - self._position)
        data = self._storage.read_range(self._info, self._position, size) if size else b""
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        # The inherited one would ask for 8 KiB at a time.
        return b"".join(iter(lambda: self.read(RANGE_BYTES), b""))
