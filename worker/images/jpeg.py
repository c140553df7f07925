"""Opens JPEG, and sees to it that a scan which ends too early is an error and not a grey area.

A file that libjpeg reads without a single warning is decoded straight into an array. Every other one is Pillow's, which
is slower and lets us tell what is missing from what is merely odd.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from jobs.errors import ErrorCode, ImageRejected
from worker.images.opened import Opened, exif_orientation

# One FF only, though any number may lead a marker: a repeat here takes hours on a file of nothing but FF.
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
# FF00 is data, FFD0 to FFD7 are restarts inside a scan.
_END_OF_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # F7 is JPEG-LS
_SEQUENTIAL = {0xC0, 0xC1}
_DECODABLE = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended, progressive; the last two arithmetic
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_EOI, _SOS = 0xD9, 0xDA
_END_MARKER = b"\xff\xd9"

# Chosen: far above what files need (100 MB of full segments are 1,600), far below what keeps a thread busy
# for a second. Real progressive files have about ten scans, and each one costs a pass over all pixels: 40 over the
# largest picture take two seconds.
_MAX_SEGMENTS = 10_000
_MAX_JUNK_BYTES = 65_536
_MAX_SCANS = 200
_MAX_SCANNED_PIXELS = 2_000_000_000
# What stands in for the end marker: libjpeg reads up to 8 bytes ahead of the last block. Two of them, chosen so that
# blocks which are read from one and from the other differ in colour: of 500 scans cut in their last bytes, each did.
_ZEROS, _STRIPES = bytes(16), b"\xaa" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    kind: int  # the SOF marker's second byte
    bits: int
    height: int
    width: int
    components: int
    scan_components: int  # of the first scan
    scan_start: int  # offset of its entropy-coded data

    def most_scans(self) -> int:
        return min(_MAX_SCANS, _MAX_SCANNED_PIXELS // (self.width * self.height or 1))


def open_jpeg(data: bytes) -> Opened:
    """Read the header of a JPEG."""
    frame = _read_frame(data)
    if frame.kind not in _DECODABLE or frame.bits != 8 or frame.components not in {1, 3, 4}:
        raise ImageRejected(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"the JPEG is SOF{frame.kind - 0xC0} with {frame.components} components of {frame.bits} bits; "
            "accepted are baseline and progressive with 1, 3 or 4 components of 8 bits",
        )
    if not frame.height:
        raise ImageRejected(ErrorCode.UNSUPPORTED_FORMAT, "the JPEG gives its height only behind its picture")
    header = JpegImageFile(io.BytesIO(data))

    def pixels() -> npt.NDArray[np.uint8] | None:
        _check_scans(data, frame)
        return _decode_if_flawless(data) if frame.components == 3 else None

    def load(enough_px: int | None) -> Image.Image:
        _check_scans(data, frame)
        scan_end = _scan_end(data, frame)
        marked = scan_end is None or data.startswith(_END_MARKER, scan_end)
        picture = _load(_padded(data, scan_end, _ZEROS), enough_px)
        # Without an end marker nothing says that the scan is complete. Then no pixel depends on what follows it.
        if not marked and _differ(picture, _load(_padded(data, scan_end, _STRIPES), enough_px)):
            raise ImageRejected(ErrorCode.TRUNCATED, f"the JPEG ends after {len(data)} bytes, inside its picture")
        return picture

    return Opened(
        format="jpeg",
        width=header.width,
        height=header.height,
        orientation=exif_orientation(header.info.get("exif")),
        icc=header.info.get("icc_profile"),
        load=load,
        pixels=pixels,
    )


def _decode_if_flawless(data: bytes) -> npt.NDArray[np.uint8] | None:
    """Decode a file of which libjpeg has no complaint; a scan that ends early is one, whatever follows it."""
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError:
        return None
    return pixels


def _read_frame(data: bytes) -> _Frame:
    """Walk the segments up to the first scan."""
    position, junk, frame = 2, 0, b""
    kind = 0
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if match is None:
            raise ImageRejected(ErrorCode.TRUNCATED, f"the JPEG ends after {len(data)} bytes, inside its header")
        junk += match.end() - position - 2
        if junk > _MAX_JUNK_BYTES:
            raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the JPEG has junk between its segments")
        marker, start = match.group(1)[0], match.end()
        if marker in _STANDALONE:
            position = start
            continue
        if marker == _EOI:
            raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the JPEG ends before its first scan")
        if start + 2 > len(data) or start + (length := struct.unpack_from(">H", data, start)[0]) > len(data):
            raise ImageRejected(ErrorCode.TRUNCATED, f"the JPEG ends after {len(data)} bytes, inside its header")
        segment, position = data[start + 2 : start + length], start + max(length, 2)
        if marker in _FRAMES:
            if frame:
                raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the JPEG declares its size twice")
            kind, frame = marker, segment
        elif marker == _SOS:
            if len(frame) < 6 or not segment:
                raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the JPEG has a scan without a frame")
            return _Frame(
                kind=kind,
                bits=frame[0],
                height=int.from_bytes(frame[1:3], "big"),
                width=int.from_bytes(frame[3:5], "big"),
                components=frame[5],
                scan_components=segment[0],
                scan_start=position,
            )
    raise ImageRejected(ErrorCode.CORRUPT_IMAGE, f"the JPEG has more than {_MAX_SEGMENTS} segments before its picture")


def _check_scans(data: bytes, frame: _Frame) -> None:
    """Refuse a JPEG that goes over its pixels again and again. Its size has passed the limits by now."""
    scans, most = 1 + data.count(b"\xff\xda", frame.scan_start), frame.most_scans()
    if scans > most:
        raise ImageRejected(
            ErrorCode.UNSUPPORTED_FORMAT, f"the JPEG has {scans} scans; of one of its size at most {most} are read"
        )


def _scan_end(data: bytes, frame: _Frame) -> int | None:
    """Find where a single sequential scan ends, at the latest where the file does; None if there is more to read.

    libjpeg fills what a scan lacks with grey as soon as it meets a marker, and says so only in a warning that
    Pillow drops. Without the marker it asks for more bytes, which is an error; a complete scan needs none.
    Files with several scans (all progressive ones) are read up to their end marker, so theirs has to stay.
    """
    if frame.kind not in _SEQUENTIAL or frame.scan_components != frame.components:
        return None
    end = _END_OF_SCAN.search(data, frame.scan_start)
    if end is None:
        return len(data.rstrip(b"\xff"))  # half a marker, perhaps
    return end.start() if end.group(1)[0] == _EOI else None


def _padded(data: bytes, scan_end: int | None, padding: bytes) -> JpegImageFile:
    """Open a JPEG with padding in place of all that follows its scan."""
    return JpegImageFile(io.BytesIO(data if scan_end is None else data[:scan_end] + padding))


def _load(image: JpegImageFile, enough_px: int | None) -> Image.Image:
    if enough_px:
        image.draft(None, (enough_px, enough_px))
    image.load()
    return image


def _differ(one: Image.Image, other: Image.Image) -> bool:
    return any(ImageChops.difference(*bands).getbbox() for bands in zip(one.split(), other.split(), strict=True))
