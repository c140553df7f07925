"""Reading a source, row by row, from a cursor on: what each row names, or why it names nothing usable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jobs.composed_rows import composed_url, names_composed
from jobs.database import Database
from jobs.errors import InvalidRequest, SourceRefused
from jobs.formats import PICTURE_ENDINGS
from jobs.locations import Location, check_allowed
from jobs.manifests import BadRow, Row, manifest_format, read_rows
from jobs.places import MASK_KEY, Places
from jobs.recipes import CountSource, JobSource, ManifestSource, PrefixSource, Source
from jobs.records import ItemRecord
from jobs.retrying import retried_items, still_there
from jobs.source_urls import pictures_of
from jobs.storage import Storages
from jobs.trainings import WEIGHTS
from jobs.wished_rows import Wished
from jobs.wishes import seed_of, wish_url

PAGE = 1_000  # items of another job read at a time
SHOWN_CHARACTERS = 200  # of a row that names no key


class Entry(NamedTuple):  # made once per item: several times as fast as a frozen dataclass
    """A row that will be an item."""

    cursor: str
    source_url: str
    relative: str  # path that the output key is made from
    product_id: str | None = None
    attributes: dict[str, Any] | None = None
    output_key: str | None = None  # where it must go; None: where `relative` leads


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """An object of a prefix that is not named like a picture."""

    cursor: str


class Refused(NamedTuple):
    """A row that cannot be an item."""

    cursor: str
    row_no: int
    code: str
    message: str
    text: str


def read_source(
    source: Source,
    storages: Storages,
    database: Database,
    *,
    cursor: str | None,
    output_url: str,
    allowed: Sequence[str],
    trained: str | None = None,  # the model that is trained on a prefix, as one item
    wished: Wished | None = None,  # what is wished of every picture that is to be generated
) -> Iterator[Entry | Refused | PassedOver]:
    """Yield the rows of a source behind a cursor, in order, in flat memory.

    Raises:
        SourceRefused, StorageError: the source as a whole cannot be read.
    """
    output = Location.parse(output_url).as_prefix()
    if isinstance(source, PrefixSource) and trained is not None:
        return _train_on(source, trained, cursor)
    if isinstance(source, PrefixSource):
        return _read_prefix(source, storages, cursor, output)
    if isinstance(source, CountSource):
        assert wished is not None
        return _count(source, wished, cursor)
    prefixes = [Location.parse(prefix) for prefix in allowed]
    if isinstance(source, JobSource):
        return _read_job(source, database, cursor, prefixes)
    if wished is not None:
        return _read_wishes(source, storages, wished, cursor)
    return _read_manifest(source, storages, cursor, output, prefixes)


def _train_on(source: PrefixSource, model: str, cursor: str | None) -> Iterator[Entry]:
    """Yield the one item of a job that trains: a folder of photos becomes a model."""
    if cursor is None:
        key = f"{model}/{WEIGHTS}"
        yield Entry(cursor=key, source_url=source.url, relative=key, output_key=key)


def _read_prefix(
    source: PrefixSource, storages: Storages, cursor: str | None, output: Location
) -> Iterator[Entry | PassedOver]:
    prefix = Location.parse(source.url).as_prefix()
    results = output.key if output.within(prefix) else None
    for found in storages.at(prefix).list(prefix.key, after=cursor):
        if found.key.endswith("/") or (results is not None and found.key.startswith(results)):
            continue
        if not _named_like_a_picture(found.key):
            yield PassedOver(cursor=found.key)
            continue
        relative = found.key[len(prefix.key) :]
        # Put together as text: a key that can be no location, such as one with "..", costs its item when it is read.
        yield Entry(cursor=found.key, source_url=f"{prefix}{relative}", relative=relative)


def _count(source: CountSource, wished: Wished, cursor: str | None) -> Iterator[Entry]:
    """Yield pictures by number, from 1 on."""
    for number in range(int(cursor or 0) + 1, source.count + 1):
        yield Entry(str(number), wish_url(wished.attributes, seed_of(wished.seed, number)), f"{number:07}")


def _read_wishes(
    source: ManifestSource, storages: Storages, wished: Wished, cursor: str | None
) -> Iterator[Entry | Refused]:
    """Yield each row's variants. The cursor is the row, and the variant in it."""
    done_row, done_variant = map(int, (cursor or "0/0").split("/"))
    manifest = Location.parse(source.url)
    with storages.at(manifest).open(manifest.key) as stream:
        for row in read_rows(stream, manifest_format(manifest.key), needs_key=False):
            if row.row_no < done_row:
                continue
            for variant, entry in enumerate(_from_wish(row, wished), start=1):
                if row.row_no > done_row or variant > done_variant:
                    yield entry._replace(cursor=f"{row.row_no}/{variant}")


def _from_wish(row: Row | BadRow, wished: Wished) -> Iterator[Entry | Refused]:
    if isinstance(row, BadRow):
        yield Refused("", row.row_no, row.code, row.message, row.text)
        return
    try:
        wishes = wished.of_row(row)
    except InvalidRequest as error:
        yield Refused("", row.row_no, error.code, str(error), str(row.attributes)[:SHOWN_CHARACTERS])
        return
    name = _name(row)
    for variant, url in enumerate(wishes, start=1):
        relative = name if len(wishes) == 1 else f"{name}-{variant}"
        yield Entry("", url, relative, row.product_id, row.attributes)


def _named_like_a_picture(key: str) -> bool:
    stem, _dot, ending = key.rpartition("/")[2].rpartition(".")
    return bool(stem) and ending.lower() in PICTURE_ENDINGS


def _read_manifest(
    source: ManifestSource, storages: Storages, cursor: str | None, output: Location, allowed: list[Location]
) -> Iterator[Entry | Refused]:
    manifest = Location.parse(source.url)
    base = Location.parse(source.base_url).as_prefix() if source.base_url else manifest.folder
    places = Places(base, output, allowed)
    done = int(cursor or 0)
    with storages.at(manifest).open(manifest.key) as stream:
        for row in read_rows(stream, manifest_format(manifest.key)):
            if row.row_no > done:
                yield _from_row(row, places)


def _from_row(row: Row | BadRow, places: Places) -> Entry | Refused:
    cursor = str(row.row_no)
    if isinstance(row, BadRow):
        return Refused(cursor=cursor, row_no=row.row_no, code=row.code, message=row.message, text=row.text)
    masked = MASK_KEY in row.attributes
    if places.is_plain(row.key) and row.key and not masked:
        return Entry(cursor, places.base_url + row.key, row.key, row.product_id, row.attributes)
    try:
        source_url, relative = _source_of(row, places)
        attributes = places.with_mask(row.attributes) if masked else row.attributes
    except InvalidRequest as error:
        text = row.key or str(row.attributes)[:SHOWN_CHARACTERS]
        return Refused(cursor=cursor, row_no=row.row_no, code=error.code, message=str(error), text=text)
    return Entry(cursor, source_url, relative, row.product_id, attributes)


def _source_of(row: Row, places: Places) -> tuple[str, str]:
    """Return the URL of a row's source, and the path that its output key is made from."""
    if names_composed(row):
        return composed_url(row, places), _name(row)
    location = places.picture(row.key)
    base = places.base
    return str(location), location.key[len(base.key) :] if location.within(base) else location.key


def _name(row: Row) -> str:
    """Return the path of what is made for a row that names no picture of its own."""
    return row.product_id or f"row-{row.row_no}"


def _read_job(
    source: JobSource, database: Database, cursor: str | None, allowed: list[Location]
) -> Iterator[Entry | Refused]:
    """Yield a row per item of a job that has ended: nothing of it changes any more."""
    done = -1 if cursor is None else int(cursor)
    while True:
        with database.reading() as session:
            items = retried_items(session, source, after=done, limit=PAGE)
            gone = not still_there(session, source.job_id)
        if gone:
            message = f"job {source.job_id}, whose items were to be tried again, has been dropped since"
            raise SourceRefused(message, code="parent_gone")
        for item in items:
            yield _from_item(item, allowed)
        if len(items) < PAGE:
            return
        done = items[-1].item_no


def _from_item(item: ItemRecord, allowed: list[Location]) -> Entry | Refused:
    cursor = str(item.item_no)
    mask_url = (item.attributes or {}).get(MASK_KEY)
    try:
        for url in pictures_of(item.source_url):
            check_allowed(Location.parse(url, field="key"), allowed, "key")
        if mask_url is not None:
            check_allowed(Location.parse(str(mask_url), field=MASK_KEY), allowed, MASK_KEY)
    except InvalidRequest as error:
        if error.code == "source_not_allowed":  # by now. What is no location costs its item when it is read
            return Refused(
                cursor=cursor, row_no=item.item_no + 1, code=error.code, message=str(error), text=item.source_url
            )
    return Entry(
        cursor=cursor,
        source_url=item.source_url,
        relative="",
        output_key=item.output_key,
        product_id=item.product_id,
        attributes=item.attributes,
    )
