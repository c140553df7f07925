"""Names a file's format from its first bytes. File names and media types are never asked: they lie."""

from __future__ import annotations

import re
import struct

from jobs.errors import ErrorCode, ImageRejected

ACCEPTED = ("jpeg", "png", "webp", "avif", "tiff", "bmp", "gif")

_ACCEPTED_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),  # MPO too: its first picture is a whole JPEG
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
)
# Formats that are pictures, or pages with pictures, and are not accepted: the caller is told which one it is.
_REFUSED_SIGNATURES = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"icns", "Apple icon"),
    (b"gimp xcf", "GIMP"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"AT&TFORM", "DjVu"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"/* XPM */", "XPM"),
)
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_SVG = re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml|<!--|<!doctype svg|<svg[\s>])", re.IGNORECASE)
_NETPBM = re.compile(rb"^P[1-7][\s#]")


def sniff(data: bytes) -> str:
    """Return the name of an accepted format.

    Raises:
        ImageRejected: `unsupported_format` for a picture format that is not accepted, else `not_an_image`.

    """
    for signature, name in _ACCEPTED_SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:2] == b"BM" and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        return "bmp"
    if _brands(data) & _AVIF_BRANDS:
        return "avif"
    refused = _refused(data)
    if refused:
        raise ImageRejected(ErrorCode.UNSUPPORTED_FORMAT, f"the file is {refused}; accepted are {', '.join(ACCEPTED)}")
    raise ImageRejected(
        ErrorCode.NOT_AN_IMAGE,
        f"no picture format starts with the bytes {data[:12].hex(' ')}; accepted are {', '.join(ACCEPTED)}",
    )


def _refused(data: bytes) -> str | None:
    """Name the picture format that we know and do not accept."""
    for signature, name in _REFUSED_SIGNATURES:
        if data.startswith(signature):
            return name
    if _brands(data) & _HEIF_BRANDS:
        return "HEIF"
    if data[:4] in {b"\0\0\1\0", b"\0\0\2\0"} and len(data) >= 22 and data[9] == 0:
        return "an icon (ICO or CUR)"
    if _SVG.match(data[:256]) and b"<svg" in data[:4096].lower():
        return "SVG"
    return "Netpbm" if _NETPBM.match(data) else None


def _brands(data: bytes) -> set[bytes]:
    """The brands that an ISO media file claims: the major one and the compatible ones."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", data)[0], len(data), 256)
    return {data[8:12]} | {data[i : i + 4] for i in range(16, end - 3, 4)}
