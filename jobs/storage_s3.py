"""Storage in S3, or in a server that speaks its protocol, through one boto3 client.

Credentials come from boto's default chain (environment, profile, web identity, instance). Checksums are
boto's default: sent where the operation knows one, checked where the answer carries one.
"""

from __future__ import annotations

import contextlib
import io
import time
from typing import TYPE_CHECKING, BinaryIO

import boto3
import urllib3.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from jobs.errors import AccessDenied, ObjectMissing, ObjectTooLarge, StorageError
from jobs.storage import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from botocore.response import StreamingBody
    from types_boto3_s3.client import S3Client
    from typing_extensions import Buffer

CONNECT_SECONDS = 5
READ_SECONDS = 15  # between two packets; a connection that died without a word is found dead after this long
OBJECT_SECONDS = 120  # to read a whole object of limited size; a server that crawls counts as one that does not answer
CHUNK_BYTES = 64 << 10  # read between two looks at the clock
ATTEMPTS = 3  # chosen: enough for a hiccup; what lasts longer is for the caller, who knows how long to wait
RANGE_BYTES = 8 << 20  # of a stream, fetched by one request
PAGE_KEYS = 1000  # of a list; the most that S3 gives
PART_BYTES = 16 << 20  # of a large upload
UPLOAD_THREADS = 4

DENIED_STATUSES = {401, 403}
CLOCK_IS_WRONG = "RequestTimeTooSkewed"  # answered with 403, but it is this machine's fault and passes


def make_client(*, endpoint_url: str | None, region: str | None, max_connections: int) -> S3Client:
    """Build the client that all threads of a process share."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=max_connections,
        tcp_keepalive=True,
    )
    client: S3Client = boto3.session.Session().client(
        "s3", endpoint_url=endpoint_url, region_name=region, config=config
    )
    return client


class S3Storage:
    """The objects of one bucket whose keys start with `folder`: a Storage."""

    def __init__(self, client: S3Client, bucket: str, folder: str) -> None:
        self._client = client
        self._bucket = bucket
        self._folder = folder  # "" or ends with a slash

    def read(self, key: str, *, max_bytes: int) -> bytes:
        with self._call(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                data = b"" if size > max_bytes else _read_in_time(body, max_bytes + 1)
        if max(size, len(data)) > max_bytes:
            raise ObjectTooLarge(f"{key!r} has {max(size, len(data))} bytes; the limit is {max_bytes}")
        return data

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with io.BufferedReader(_Ranges(self, self.stat(key)), RANGE_BYTES) as stream:
            yield stream

    def write(self, key: str, data: bytes, *, media_type: str) -> None:
        with self._call(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=media_type)

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
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise StorageError(f"storage did not answer for {key!r} in bucket {self._bucket!r}: {error}") from error

    def _error(self, key: str, error: ClientError) -> StorageError:
        code = error.response["Error"]["Code"]
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
