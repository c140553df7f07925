"""Where an item's picture goes: a key that follows from its source's key, keeps its folders, fits anywhere.

`output_key` is the plain name. Several sources may share one: `a.jpg` and `a.png` both to WebP, or names
that differ only in case or Unicode form, which some file systems do not tell apart. Planning finds that by a
unique index on `fold`: the first in source order keeps the plain name, later ones get that of `disambiguate`.
The rule in full is in `docs/keys.md`.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
import uuid

from jobs.formats import PICTURE_ENDINGS
from jobs.locations import TEMPORARY_PREFIX

RESERVED_FOLDER = "_restyle"  # at the top of an output: manifest, errors file, contact sheet
MAX_OUTPUT_KEY_BYTES = 960  # S3 takes 1,024, and a rejected picture's key is 55 longer: see rejected_url
MIN_OUTPUT_KEY_BYTES = 300  # room for one name of full length and a shortened path
MAX_SEGMENT_BYTES = 255  # of file systems
MARK_BYTES = 9  # "~" and 8 hexadecimal digits
UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def output_key(relative: str, extension: str, *, max_bytes: int = MAX_OUTPUT_KEY_BYTES) -> str:
    """Return the plain key for a source at `relative`, its key below the source's folder.

    `extension` comes without a dot; `max_bytes` is what the output's own folder leaves of a whole key. The
    result has no segment that leaves its folder, and no picture's key is a folder on the way to another's.
    """
    if max_bytes < MIN_OUTPUT_KEY_BYTES:
        raise ValueError(f"{max_bytes} bytes are too few for keys: use an output folder with a shorter name")
    folder, _, name = relative.rstrip("/").rpartition("/")
    stem = _shortened(_without_ending(_usable(name or "_")), MAX_SEGMENT_BYTES - MARK_BYTES - len(extension) - 1)
    return _fitting(_folders(folder, extension), f"{stem}.{extension}", max_bytes - MARK_BYTES)


def files_url(output_url: str, job_id: uuid.UUID) -> str:
    """Return where a job's own files lie: its manifest, errors file and contact sheet. Ends with a slash."""
    return f"{output_url.rstrip('/')}/{RESERVED_FOLDER}/{job_id}/"


def rejected_url(output_url: str, job_id: uuid.UUID) -> str:
    """Return the folder that holds a job's rejected pictures, each under its output key. Ends with a slash."""
    return f"{files_url(output_url, job_id)}rejected/"


def fold(key: str) -> bytes:
    """Return 16 bytes that are equal for keys which a file system may take for one: case, Unicode form."""
    return hashlib.sha256(_caseless(key).encode()).digest()[:16]


def disambiguate(key: str, source_key: str, item_no: int, n: int = 0) -> str:
    """Return a key beside the plain `key` for an item that came too late for it.

    It follows from the item alone. Where even that is taken, try again with the next `n`.
    """
    stem, dot, extension = key.rpartition(".")
    digits = _digits("\0".join([source_key, str(item_no), str(n)]))
    return f"{stem}~{digits}{dot}{extension}"


@functools.lru_cache(maxsize=256)  # pictures of one folder come together
def _folders(path: str, extension: str) -> list[str]:
    """The names of the folders on the way to a picture. Not to be changed."""
    folders = [_folder(_usable(segment), extension) for segment in path.split("/") if segment]
    if folders and _caseless(folders[0]) == RESERVED_FOLDER:
        folders[0] = f"_{folders[0]}"
    return folders


def _usable(segment: str) -> str:
    """The segment with what no file may be called made harmless."""
    if segment in {".", ".."}:
        return "_" * len(segment)
    if segment.startswith(TEMPORARY_PREFIX):
        segment = f"_{segment}"
    return segment if segment.isprintable() else UNUSABLE.sub("_", segment)


def _without_ending(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    # Other names keep all they have: "shoe 2.0" becomes "shoe 2.0.webp".
    return stem if stem and ending.lower() in PICTURE_ENDINGS else name


def _folder(segment: str, extension: str) -> str:
    """The folder's name, which is no picture's: pictures end in the extension, and no folder does."""
    segment = _shortened(segment, MAX_SEGMENT_BYTES - 1)
    return f"{segment}_" if _caseless(segment).endswith(f".{extension}") else segment


def _fitting(folders: list[str], name: str, limit: int) -> str:
    """Join the path; where it is too long, a mark stands for the innermost folders."""
    path = whole = "/".join([*folders, name])
    while len(path.encode()) > limit:
        folders = folders[:-1]
        path = "/".join([*folders, f"~{_digits(whole)}", name])
    return path


def _shortened(text: str, limit: int) -> str:
    """The text, or its beginning and a mark that follows from the whole; at most `limit` bytes in UTF-8."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return f"{data[: limit - MARK_BYTES].decode(errors='ignore')}~{_digits(text)}"


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _caseless(text: str) -> str:
    if text.isascii():
        return text.lower()
    # As Unicode defines caseless matching: folding takes decomposed text, and may change its form.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
