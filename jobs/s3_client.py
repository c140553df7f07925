"""The boto3 client that all threads of a process share, and its manners towards buckets that are busy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import botocore
from botocore.config import Config

from jobs.errors import StorageError
from jobs.pace import Pace

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONNECT_SECONDS = 5
READ_SECONDS = 15  # between two packets; a connection that died without a word is found dead after this long
ATTEMPTS = 3  # chosen: enough for a hiccup; what lasts longer is for the caller, who knows how long to wait
LONGEST_WAIT_SECONDS = 30.0  # for a turn at a bucket that is busy; then the caller hears of it
# Said once: what boto says by itself is put together anew for each call, a tenth of what a call takes of the processor.
USER_AGENT = f"restyle Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
BUSY_STATUSES = {429, 503}
BUSY_CODES = {"SlowDown", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException"}


@dataclass(slots=True)
class Habits:
    """What a server turned out to do with one bucket. Threads share it; each may learn the same."""

    pace: Pace = field(default_factory=Pace)
    etags_are_md5: bool = True  # of what was stored in one part and without keys
    conditional: bool = True  # it knows conditional writes


class S3Server:
    """One client, and what was learned of its buckets. Each call keeps the pace of its bucket.

    Those inside of a transfer and boto's own retries too; so the pace is kept by boto's events, and not around calls.
    """

    def __init__(self, *, endpoint_url: str | None, region: str | None, max_connections: int) -> None:
        self._habits: dict[str, Habits] = {}
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            # Not "adaptive": it has one rate for all buckets of a client, so that one busy bucket slows down all.
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=max_connections,
            tcp_keepalive=True,
            user_agent=USER_AGENT,
            request_checksum_calculation="when_supported",  # said here, as the environment may say otherwise
            response_checksum_validation="when_supported",
        )
        self.client: S3Client = boto3.session.Session().client(
            "s3", endpoint_url=endpoint_url, region_name=region, config=config
        )
        events = self.client.meta.events
        events.register_first("request-created.s3", self._before)  # each try, before it is signed
        events.register_first("needs-retry.s3", self._after)

    def habits(self, bucket: str) -> Habits:
        """Return what is known of a bucket, for all to share."""
        return self._habits.setdefault(bucket, Habits())

    def _before(self, request: Any, **_: object) -> None:
        bucket = _bucket(request.context)
        if bucket is None:
            return
        wait = self.habits(bucket).pace.turn(time.monotonic())
        if wait > LONGEST_WAIT_SECONDS:
            raise StorageError(f"bucket {bucket!r} asks for fewer calls; the next turn is {wait:.0f} s away")
        if wait:
            time.sleep(wait)

    def _after(self, response: Any, request_dict: Any, **_: object) -> None:
        bucket = _bucket(request_dict["context"])
        if bucket is None or response is None:
            return
        http, parsed = response
        if http.status_code in BUSY_STATUSES or parsed.get("Error", {}).get("Code") in BUSY_CODES:
            self.habits(bucket).pace.slow_down(time.monotonic())
        else:
            self.habits(bucket).pace.went_well()


def _bucket(context: dict[str, Any]) -> str | None:
    """Where boto notes a call's bucket, for redirections."""
    bucket: str | None = context.get("s3_redirect", {}).get("bucket")
    return bucket
