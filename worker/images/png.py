"""Opens PNG: walks its chunks, and shows Pillow only those that make pixels.

Shops hold PNGs whose colour profile or text has a bad checksum. Browsers drop such chunks; Pillow refuses the
file, unless told process-wide to load truncated files too. So the chunks are judged here, and what Pillow
decodes is the same picture without its metadata.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from jobs.errors import ErrorCode, ImageRejected
from worker.images.deflated import unpacked
from worker.images.opened import Opened, exif_orientation, high_byte

_MAGIC = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, 4: 2, 6: 4}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf")
_MAX_CHUNKS = 200_000  # chosen: 100 MB in chunks of 512 bytes
_MAX_PROFILE_BYTES = 4_000_000
_STEP_BYTES = 1 << 20


@dataclass(slots=True)
class _Chunks:
    """What a walk over a PNG's chunks found."""

    kept: dict[bytes, bytes] = field(default_factory=dict)
    idat: list[memoryview] = field(default_factory=list)
    idat_is_sound: bool = True  # every checksum of the compressed pixels is right
    ended: bool = False  # IEND was reached


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: int

    def raw_bytes(self) -> int:
        """How many bytes the pixels have before compression, with one filter byte per row."""
        bits = self.depth * _CHANNELS[self.colour]
        if not self.interlaced:
            return self.height * (1 + (self.width * bits + 7) // 8)
        passes = (
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        )
        total = 0
        for left, top, across, down in passes:
            columns = (self.width - left + across - 1) // across
            rows = (self.height - top + down - 1) // down
            total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
        return total


def open_png(data: bytes) -> Opened:
    """Read the header of a PNG; of an animation the default picture counts."""
    chunks = _walk(data)
    header = _header(chunks)
    key = _colour_key(header, chunks.kept.get(b"tRNS"))

    def load(_: int | None) -> Image.Image:
        return _load(chunks, header)

    return Opened(
        format="png",
        width=header.width,
        height=header.height,
        orientation=exif_orientation(chunks.kept.get(b"eXIf")),
        icc=_profile(chunks.kept.get(b"iCCP")),
        colour_key=key,
        load=load,
    )


def _walk(data: bytes) -> _Chunks:
    """Sort the chunks: pixels, what explains them, and the rest, which is dropped.

    An ancillary chunk with a bad checksum is dropped as browsers do. Pixels with a bad checksum are kept and
    noted: zlib's own checksum then has to vouch for them.
    """
    found = _Chunks()
    pixels_over = False
    for count, (kind, body, sound, cut) in enumerate(_split(data)):
        if count > _MAX_CHUNKS:
            raise ImageRejected(ErrorCode.CORRUPT_IMAGE, f"the PNG has more than {_MAX_CHUNKS} chunks")
        if kind == b"IDAT":
            if not pixels_over:
                found.idat.append(body)
                found.idat_is_sound = found.idat_is_sound and sound
            continue
        pixels_over = bool(found.idat)
        if kind == b"IEND":
            found.ended = True
            break
        if kind in {b"IHDR", b"PLTE"} and not sound:
            if cut:
                raise ImageRejected(ErrorCode.TRUNCATED, f"the PNG ends inside its {kind.decode()} chunk")
            raise ImageRejected(ErrorCode.CORRUPT_IMAGE, f"the PNG's {kind.decode()} chunk has a bad checksum")
        if kind in _KEPT:
            if sound:
                found.kept.setdefault(kind, bytes(body))
        elif not kind[0] & 0x20:  # a capital first letter: not to be skipped by who does not know it
            raise ImageRejected(ErrorCode.UNSUPPORTED_FORMAT, f"the PNG needs the extension {kind.decode('latin-1')}")
    return found


def _split(data: bytes) -> Iterator[tuple[bytes, memoryview, bool, bool]]:
    """Yield kind, body, whether the checksum is right, and whether the file ends inside, up to what is no chunk.

    The last body may be shorter than declared: a cut file, or a length that lies.
    """
    view = memoryview(data)
    position = len(_MAGIC)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if not kind.isalpha():
            return
        body = view[position + 8 : position + 8 + length]
        position += 12 + length
        stored = data[position - 4 : position]
        yield kind, body, stored == struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))), position > len(data)


def _header(chunks: _Chunks) -> _Header:
    """Check IHDR, and that what it calls for is there."""
    raw = chunks.kept.get(b"IHDR", b"")
    if len(raw) != 13:
        code = ErrorCode.CORRUPT_IMAGE if chunks.ended or chunks.idat else ErrorCode.TRUNCATED
        raise ImageRejected(code, "the PNG has no complete IHDR chunk")
    width, height, depth, colour, compression, filtering, interlaced = struct.unpack(">IIBBBBB", raw)
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlaced > 1:
        raise ImageRejected(
            ErrorCode.CORRUPT_IMAGE,
            f"the PNG declares colour type {colour} with {depth} bits, compression {compression}, "
            f"filter {filtering}, interlace {interlaced}: there is no such combination",
        )
    if not chunks.idat:
        code = ErrorCode.CORRUPT_IMAGE if chunks.ended else ErrorCode.TRUNCATED
        raise ImageRejected(code, "the PNG has no pixels")
    if colour == _PALETTE and not chunks.kept.get(b"PLTE"):
        raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the PNG has palette pixels and no palette")
    return _Header(width=width, height=height, depth=depth, colour=colour, interlaced=interlaced)


def _load(chunks: _Chunks, header: _Header) -> Image.Image:
    """Decode the pixels, and make sure that all of them were there."""
    whole = None if header.depth > 8 else unpacked(chunks.idat, header.raw_bytes())  # 16 bits would take too much room
    if whole is not None:
        with suppress(OSError, SyntaxError):  # damaged before it was packed: judged below
            return _decode(whole, chunks, header)
    try:
        image = _decode(chunks.idat, chunks, header)
    except (OSError, SyntaxError) as error:
        if not chunks.ended:
            raise ImageRejected(ErrorCode.TRUNCATED, "the PNG ends before its pixels do") from error
        image = _decode(_with_right_checksum(chunks, header), chunks, header)
    # Pillow keeps silent when the compressed data ends early, and leaves the rest zero. Inflating twice costs
    # a quarter of a decode, so it is done only where that can have happened.
    if header.interlaced or not chunks.idat_is_sound or _last_row_is_zero(image):
        _check_pixels_are_complete(chunks, header)
    return high_byte(image) if header.colour == _GREY and header.depth == 16 else image


def _decode(idat: Sequence[memoryview], chunks: _Chunks, header: _Header) -> Image.Image:
    image = PngImageFile(io.BytesIO(_rebuilt(idat, chunks, header)))
    image.load()
    return image


def _rebuilt(idat: Sequence[memoryview], chunks: _Chunks, header: _Header) -> bytes:
    """The same PNG without metadata, its pixels in one chunk."""
    parts = [_MAGIC, _chunk(b"IHDR", chunks.kept[b"IHDR"])]
    if header.colour == _PALETTE:
        parts.append(_chunk(b"PLTE", chunks.kept[b"PLTE"]))
        if b"tRNS" in chunks.kept:
            parts.append(_chunk(b"tRNS", chunks.kept[b"tRNS"]))
    start = struct.pack(">I4s", sum(len(body) for body in idat), b"IDAT")
    # The checksum of IDAT stays zero: Pillow does not read it, and `_walk` has judged the original ones.
    return b"".join((*parts, start, *idat, bytes(4), _chunk(b"IEND", b"")))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _last_row_is_zero(image: Image.Image) -> bool:
    return not any(image.crop((0, image.height - 1, image.width, image.height)).tobytes())


def _check_pixels_are_complete(chunks: _Chunks, header: _Header) -> None:
    """Inflate the pixels and count; where chunk checksums failed, zlib's own has to be right."""
    stream = _inflate(chunks, header)
    vouched = chunks.idat_is_sound or stream.checksum == stream.stored_checksum
    if stream.length < header.raw_bytes() or not vouched:
        code = ErrorCode.CORRUPT_IMAGE if chunks.ended else ErrorCode.TRUNCATED
        raise ImageRejected(code, f"the PNG has {stream.length} sound bytes of pixels; it needs {header.raw_bytes()}")


def _with_right_checksum(chunks: _Chunks, header: _Header) -> list[memoryview]:
    """Correct zlib's checksum behind pixels that are complete and that chunk checksums vouch for."""
    stream = _inflate(chunks, header)
    if stream.length < header.raw_bytes() or not (stream.ended and chunks.idat_is_sound):
        raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the PNG's compressed pixels are damaged")
    compressed = b"".join(chunks.idat)
    end = len(compressed) - stream.unused_bytes
    return [memoryview(compressed)[:end], memoryview(stream.checksum)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inflated:
    """What inflating the pixels told, without keeping any."""

    length: int
    ended: bool
    checksum: bytes
    stored_checksum: bytes
    unused_bytes: int  # the stored checksum, and what follows it


def _inflate(chunks: _Chunks, header: _Header) -> _Inflated:
    """Inflate in steps of a megabyte, to at most a step more than the header calls for."""
    wanted, length, checksum, rest = header.raw_bytes(), 0, 1, b""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # without the wrapper, whose checksum we compare ourselves
    skip = 2  # the wrapper's header
    try:
        for body in chunks.idat:
            pending, skip = body[skip:], max(0, skip - len(body))
            if inflate.eof:
                rest += bytes(pending)
                continue
            while pending and not inflate.eof and length <= wanted:
                out = inflate.decompress(pending, _STEP_BYTES)
                length, checksum = length + len(out), zlib.adler32(out, checksum)
                pending = memoryview(inflate.unconsumed_tail)
            rest = inflate.unused_data
    except zlib.error:
        length = length if length >= wanted else 0  # damaged in the middle: nothing behind that is true
    return _Inflated(
        length=length,
        ended=inflate.eof,
        checksum=struct.pack(">I", checksum),
        stored_checksum=rest[:4],
        unused_bytes=len(rest),
    )


def _colour_key(header: _Header, transparency: bytes | None) -> tuple[int, ...] | None:
    """The colour that tRNS calls transparent, 8 bits per channel; of 16 bits the high byte counts."""
    if transparency is None or header.colour not in {_GREY, _RGB}:
        return None
    channels = _CHANNELS[header.colour]
    if len(transparency) != 2 * channels:
        return None
    values = struct.unpack(f">{channels}H", transparency)
    if header.depth == 16:
        return tuple(value >> 8 for value in values)
    top = (1 << header.depth) - 1
    return tuple((value & top) * 255 // top for value in values)


def _profile(body: bytes | None) -> bytes | None:
    """The colour profile of an iCCP chunk; None when it is broken or too large to be one."""
    name, _, rest = (body or b"").partition(b"\0")
    if not name or rest[:1] != b"\0":
        return None
    try:
        inflate = zlib.decompressobj()
        profile = inflate.decompress(rest[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflate.eof else None
