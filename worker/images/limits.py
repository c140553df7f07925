"""What a picture may cost, checked against its header. It reads no files."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.errors import ErrorCode, ImageRejected

# Pillow prints a warning above this many pixels and fails above twice as many. Our limit stays below, so that
# a picture which passes our check never meets that warning, and Pillow's global setting is left alone.
PILLOW_WARNS_ABOVE_PIXELS = 89_478_485


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLimits:
    """The limits of one picture. Each is inclusive."""

    max_bytes: int = 100_000_000  # of the file
    max_pixels: int = 50_000_000  # width × height; a decoder's worst moment is 22 bytes per pixel (WebP)
    max_side_px: int = 16_383  # WebP holds no more: what is accepted can be written in every output format
    max_ratio: float = 100.0  # longer ÷ shorter side; chosen: banners reach 20, decompression bombs thousands

    def __post_init__(self) -> None:
        if not 0 < self.max_pixels <= PILLOW_WARNS_ABOVE_PIXELS:
            raise ValueError(f"max_pixels is {self.max_pixels}: it must be 1 to {PILLOW_WARNS_ABOVE_PIXELS}")
        if self.max_bytes < 1 or self.max_side_px < 1 or self.max_ratio < 1:
            raise ValueError("max_bytes, max_side_px and max_ratio must be at least 1")


def check_bytes(data: bytes, limits: PictureLimits) -> None:
    """Raise ImageRejected unless there are bytes, and not too many."""
    if not data:
        raise ImageRejected(ErrorCode.EMPTY_OBJECT, "the object has 0 bytes")
    if len(data) > limits.max_bytes:
        raise ImageRejected(
            ErrorCode.TOO_LARGE, f"the file has {len(data)} bytes; at most {limits.max_bytes} are allowed"
        )


def check_size(width: int, height: int, limits: PictureLimits) -> None:
    """Raise ImageRejected unless width × height [px] is a size that may be decoded."""
    size = f"the picture declares {width} x {height} px"
    if width < 1 or height < 1:
        raise ImageRejected(ErrorCode.CORRUPT_IMAGE, f"{size}; each side must be at least 1 px")
    if width * height > limits.max_pixels:
        raise ImageRejected(
            ErrorCode.TOO_MANY_PIXELS,
            f"{size}, {width * height} pixels; at most {limits.max_pixels} are allowed",
        )
    longer, shorter = max(width, height), min(width, height)
    if longer > limits.max_side_px:
        raise ImageRejected(ErrorCode.SIDE_TOO_LONG, f"{size}; each side may have at most {limits.max_side_px} px")
    if longer > shorter * limits.max_ratio:
        raise ImageRejected(
            ErrorCode.RATIO_TOO_EXTREME,
            f"{size}; the longer side may be at most {limits.max_ratio:g} times the shorter one",
        )
