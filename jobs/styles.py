"""Styles: named looks, each a few reference pictures that are stored before the style's row is written.

Pictures are recognised by their first bytes only; workers decode them. A style is never changed: other pictures
are another style. A mix of styles is a style of all their pictures, which count as much as the mix says; it shares
the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from jobs.database import Database, now
from jobs.errors import Conflict, InvalidRequest, NotFound, Problem, StorageError
from jobs.locations import Location
from jobs.recipes import sha256_of
from jobs.records import StyleRecord
from jobs.storage import Storages
from jobs.tenants import Tenant

log = structlog.get_logger(__name__)

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
MAX_NAME_LENGTH = 64
MAX_REFERENCES = 16
MAX_MIXED_REFERENCES = 64
MAX_REFERENCE_BYTES = 20_000_000
HEAD_BYTES = 64  # enough to recognise every format below
ACCEPTED = "JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as it came, readable from its start and seekable."""

    file_name: str
    file: BinaryIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference picture that was looked at and found acceptable."""

    upload: Upload
    extension: str  # by its content, not by its name
    media_type: str
    sha256: str
    size_bytes: int


def picture_type(head: bytes) -> tuple[str, str] | None:
    """Return the file extension and media type of a picture from its first `HEAD_BYTES`, None if it is none."""
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg", "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png", "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ".gif", "image/gif"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return ".tif", "image/tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp", "image/webp"
    # ISO base media: the box's size, "ftyp", the major brand, a version, compatible brands.
    if head[4:8] == b"ftyp" and {b"avif", b"avis"} & {head[at : at + 4] for at in range(8, len(head), 4)}:
        return ".avif", "image/avif"
    # "BM" alone begins many texts; the info header's size does not.
    if head[:2] == b"BM" and head[15:18] == b"\0\0\0" and head[14:15] and head[14] in (12, 40, 52, 56, 64, 108, 124):
        return ".bmp", "image/bmp"
    return None


def look_at(uploads: Sequence[Upload]) -> list[Reference]:
    """Check uploaded reference pictures and take their digests.

    Raises:
        InvalidRequest: too few or too many, or some are empty, too large or no pictures; names each of them.

    """
    if not 1 <= len(uploads) <= MAX_REFERENCES:
        problem = Problem(field="references", value=len(uploads), remedy=f"upload 1 to {MAX_REFERENCES} pictures")
        raise InvalidRequest(problem, code="reference_count")
    looked = [_look_at(upload, f"references.{number}") for number, upload in enumerate(uploads)]
    problems = [each for each in looked if isinstance(each, Problem)]
    if problems:
        raise InvalidRequest(*problems, code="reference_refused")
    return [each for each in looked if isinstance(each, Reference)]


def _look_at(upload: Upload, field: str) -> Reference | Problem:
    upload.file.seek(0)
    head = upload.file.read(HEAD_BYTES)
    if not head:
        return Problem(field=field, value=upload.file_name, remedy="upload a file that is not empty")
    found = picture_type(head)
    if found is None:
        return Problem(field=field, value=upload.file_name, remedy=f"upload a picture: {ACCEPTED}")
    digest, size_bytes = hashlib.sha256(head), len(head)
    while chunk := upload.file.read(1 << 20):
        digest.update(chunk)
        size_bytes += len(chunk)
    if size_bytes > MAX_REFERENCE_BYTES:
        limit = f"{MAX_REFERENCE_BYTES // 1_000_000} MB"
        return Problem(field=field, value=upload.file_name, remedy=f"upload at most {limit}; it has {size_bytes} bytes")
    extension, media_type = found
    return Reference(
        upload=upload, extension=extension, media_type=media_type, sha256=digest.hexdigest(), size_bytes=size_bytes
    )


def references_sha256(references: Sequence[Reference]) -> str:
    """Identify a set of pictures, whatever their order and names."""
    return sha256_of(sorted(reference.sha256 for reference in references))


def create(
    database: Database,
    storages: Storages,
    tenant: Tenant,
    name: str,
    references: Sequence[Reference],
    *,
    storage_url: str,  # pictures are stored below it
) -> tuple[StyleRecord, bool]:
    """Store the pictures, then write the style. Return it, and whether it is new: equal pictures make no other one.

    Nothing is left behind when it fails.

    Raises:
        Conflict: the name belongs to other pictures.
        StorageError: storage did not take them.

    """
    with database.reading() as session:
        existing = find_equal(session, tenant, name, references_sha256(references))
    if existing is not None:
        return existing, False
    style_id = uuid7()
    folder = Location.parse(storage_url, field="storage_url").child(f"styles/{style_id}/")
    locations = [folder.child(f"{number}{each.extension}") for number, each in enumerate(references)]
    try:
        _store(storages, locations, references)
        with database.transaction() as session:
            style = _insert(session, tenant, style_id, name, locations, references)
    except BaseException:
        # Whether a commit that failed did happen may be unknown: pictures without a style are the lesser evil.
        with contextlib.suppress(SQLAlchemyError), database.reading() as session:
            if session.get(StyleRecord, style_id) is None:
                _discard(storages, locations)
        raise
    if style.id != style_id:
        _discard(storages, locations)
    return style, style.id == style_id


def _store(storages: Storages, locations: Sequence[Location], references: Sequence[Reference]) -> None:
    for location, reference in zip(locations, references, strict=True):
        reference.upload.file.seek(0)
        storages.at(location).write(location.key, reference.upload.file.read(), media_type=reference.media_type)


def _discard(storages: Storages, locations: Sequence[Location]) -> None:
    """Remove the pictures of a style that got no row, as far as storage lets us."""
    for location in locations:
        try:
            storages.at(location).delete(location.key)
        except StorageError as error:
            log.warning("style_picture_left_behind", url=str(location), error=str(error))


def _insert(
    session: Session,
    tenant: Tenant,
    style_id: uuid.UUID,
    name: str,
    locations: Sequence[Location],
    references: Sequence[Reference],
) -> StyleRecord:
    """Insert the style. Return its record, or that of a style with equal pictures that was quicker."""
    pictures = [
        {
            "url": str(location),
            "sha256": reference.sha256,
            "bytes": reference.size_bytes,
            "file_name": _printable(reference.upload.file_name),
        }
        for location, reference in zip(locations, references, strict=True)
    ]
    return _insert_unless_there(session, tenant, style_id, name, pictures, references_sha256(references))


def mix(session: Session, tenant: Tenant, name: str, shares: Mapping[str, float]) -> tuple[StyleRecord, bool]:
    """Write a style that is a mix of others, by how much each counts. Return it, and whether it is new.

    Raises:
        NotFound: there is no style of one of the names.
        Conflict: the name belongs to other pictures, or to another mix.
        InvalidRequest: all of them together have too many pictures.

    """
    weights: dict[str, float] = {}
    pictures: dict[str, dict[str, Any]] = {}
    whole = sum(shares.values())
    for part, share in shares.items():
        style = get(session, tenant, part)
        total = sum(picture.get("weight", 1.0) for picture in style.references)
        for picture in style.references:  # one that two styles have counts for both
            weight = picture.get("weight", 1.0) / total * share / whole
            weights[picture["sha256"]] = weights.get(picture["sha256"], 0.0) + weight
            pictures.setdefault(picture["sha256"], picture)
    if len(pictures) > MAX_MIXED_REFERENCES:
        remedy = f"mix styles of at most {MAX_MIXED_REFERENCES} pictures in all; these have {len(pictures)}"
        raise InvalidRequest(Problem(field="styles", value=sorted(shares), remedy=remedy), code="reference_count")
    rows = [pictures[digest] | {"weight": round(weights[digest], 6)} for digest in sorted(pictures)]
    sha256 = sha256_of([[row["sha256"], row["weight"]] for row in rows])
    existing = find_equal(session, tenant, name, sha256)
    if existing is not None:
        return existing, False
    style_id = uuid7()
    style = _insert_unless_there(session, tenant, style_id, name, rows, sha256)
    return style, style.id == style_id


def _insert_unless_there(
    session: Session, tenant: Tenant, style_id: uuid.UUID, name: str, pictures: list[dict[str, Any]], sha256: str
) -> StyleRecord:
    style = StyleRecord(
        id=style_id,
        tenant_id=tenant.id,
        name=name,
        references=pictures,
        sha256=sha256,
        created_at=now(session),
    )
    try:
        with session.begin_nested():
            session.add(style)
    except IntegrityError:
        winner = find_equal(session, tenant, name, style.sha256)
        if winner is None:
            raise
        return winner
    return style


def find(session: Session, tenant: Tenant, name: str | None) -> StyleRecord | None:
    """Return a style by its name, if there is one."""
    if name is None or not re.fullmatch(NAME_PATTERN, name):  # nor need it be text that the database would take
        return None
    return session.scalar(select(StyleRecord).where(StyleRecord.tenant_id == tenant.id, StyleRecord.name == name))


def find_all(session: Session, tenant: Tenant, names: Iterable[str | None]) -> dict[str, StyleRecord]:
    """Return those of these styles that there are, by name."""
    likely = {name for name in names if name is not None and re.fullmatch(NAME_PATTERN, name)}
    if not likely:
        return {}
    chosen = select(StyleRecord).where(StyleRecord.tenant_id == tenant.id, StyleRecord.name.in_(likely))
    return {style.name: style for style in session.scalars(chosen)}


def get(session: Session, tenant: Tenant, name: str) -> StyleRecord:
    """Return a style by its name.

    Raises:
        NotFound: the tenant has no such style.

    """
    style = find(session, tenant, name)
    if style is None:
        raise NotFound(f"there is no style {name!r}")
    return style


def find_equal(session: Session, tenant: Tenant, name: str, sha256: str) -> StyleRecord | None:
    """Return the style of this name and these pictures, if the name is taken.

    Raises:
        Conflict: the name belongs to other pictures.

    """
    style = find(session, tenant, name)
    if style is not None and style.sha256 != sha256:
        raise Conflict(f"style {name!r} exists with other pictures; choose another name", code="style_exists")
    return style


def _printable(file_name: str) -> str:
    """Return a name that every database and terminal takes."""
    return "".join(letter for letter in file_name if letter.isprintable())[:255]
