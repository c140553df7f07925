"""Where objects lie: `s3://bucket/key` and `file:///folder/file`, read strictly, compared by whole segments.

Keys are raw: nothing is percent-decoded, and `?`, `#`, `+` and spaces are themselves. What you see in a
bucket is what you write after `s3://bucket/`. This module knows no storage; `jobs.storage` reads and writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from jobs.errors import InvalidRequest, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_KEY_BYTES = 1024  # of S3
MAX_PREFIXES_SHOWN = 10
TEMPORARY_PREFIX = ".restyle-tmp-"  # of a folder's unfinished files, which no list shows
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


class Scheme(StrEnum):
    S3 = "s3"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Location:
    """An object, or a folder of objects; a folder ends in `/` or is the whole root.

    Raises ValueError when the parts can be no location; `parse` and `child` say it as InvalidRequest.
    """

    scheme: Scheme
    root: str  # the bucket; always "/" for files
    key: str  # below the root, without a leading slash of its own

    def __post_init__(self) -> None:
        remedy = _fault(self.scheme, self.root, self.key)
        if remedy:
            raise ValueError(f"{self.scheme}://{self.root}, {self.key!r}: {remedy}")

    @classmethod
    def parse(cls, text: str, *, field: str = "location") -> Self:
        """Read a location from a URL; raise InvalidRequest that names `field`, the text and the remedy."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in set(Scheme):
            raise _refusal(field, text, "write s3://bucket/folder/ or file:///folder/")
        if scheme == Scheme.FILE and not rest.startswith("/"):
            raise _refusal(field, text, "write an absolute path, with three slashes: file:///folder/")
        root, _, key = ("/", "", rest[1:]) if scheme == Scheme.FILE else rest.partition("/")
        try:
            return cls(Scheme(scheme), root, key)
        except ValueError:
            raise _refusal(field, text, _fault(Scheme(scheme), root, key) or "") from None

    def __str__(self) -> str:
        return f"file:///{self.key}" if self.scheme is Scheme.FILE else f"s3://{self.root}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """Whether this names a folder rather than an object."""
        return self.key == "" or self.key.endswith("/")

    def as_prefix(self) -> Location:
        """The folder of this name: the same location, ending in `/`."""
        return self if self.is_prefix else Location(self.scheme, self.root, f"{self.key}/")

    @property
    def folder(self) -> Location:
        """The folder that this lies in, or this itself when it is a folder."""
        if self.is_prefix:
            return self
        return Location(self.scheme, self.root, self.key[: self.key.rfind("/") + 1])

    def child(self, relative: str, *, field: str = "key") -> Location:
        """What lies at `relative` below this folder; raise InvalidRequest if that is no name for anything."""
        if not relative:
            raise _refusal(field, relative, "name an object below the folder")
        key = self._folder_key + relative
        try:
            return Location(self.scheme, self.root, key)
        except ValueError:
            raise _refusal(field, relative, _fault(self.scheme, self.root, key) or "") from None

    def within(self, prefix: Location) -> bool:
        """Whether this lies at or below `prefix`, by whole segments: `catalogue` is not within `cat`.

        A folder is within itself, written with or without its last slash.
        """
        if (self.scheme, self.root) != (prefix.scheme, prefix.root):
            return False
        return self._folder_key.startswith(prefix._folder_key)

    @property
    def _folder_key(self) -> str:
        return self.key if self.is_prefix else f"{self.key}/"


def check_allowed(location: Location, allowed_prefixes: Sequence[Location], field: str) -> None:
    """Raise InvalidRequest, code `source_not_allowed`, unless the location lies within an allowed prefix."""
    if any(location.within(prefix) for prefix in allowed_prefixes):
        return
    shown = ", ".join(map(str, allowed_prefixes[:MAX_PREFIXES_SHOWN])) or "none: ask for one to be allowed"
    remedy = f"choose a location within the allowed prefixes ({shown})"
    raise InvalidRequest(Problem(field=field, value=str(location), remedy=remedy), code="source_not_allowed")


def _refusal(field: str, value: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(Problem(field=field, value=value, remedy=remedy), code="location_invalid")


def _fault(scheme: Scheme, root: str, key: str) -> str | None:
    """What to change so that the parts make a location, or None when they do."""
    if scheme is Scheme.S3 and not BUCKET.fullmatch(root):
        return "name a bucket after s3://, 3 to 63 letters, digits, dots, hyphens or underscores"
    if scheme is Scheme.FILE and root != "/":
        return "the root of files is /"
    fault = key_fault(key)
    if fault:
        return fault
    # S3 tells "a//b" from "a/b"; a file system does not, so there two names would be one object.
    if scheme is Scheme.FILE and ("//" in key or key.startswith("/")):
        return "write the path without empty segments (//)"
    return None


def key_fault(key: str) -> str | None:
    """What to change so that this can be a key, whole or below a folder, or None when it can."""
    if "\0" in key:
        return "remove the NUL character"
    try:
        size = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError:
        return "use text that can be written as UTF-8"
    if size > MAX_KEY_BYTES:
        return f"use a key of at most {MAX_KEY_BYTES} bytes in UTF-8; this one has {size}"
    # Most keys have their only dots elsewhere: they need no splitting.
    if ("./" in key or key.endswith(".")) and not {".", ".."}.isdisjoint(key.split("/")):
        return "write the path without . and .. segments"
    return None
