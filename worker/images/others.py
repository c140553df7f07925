"""Opens AVIF, TIFF, BMP and GIF, each with the checks that have to come before Pillow's own."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageChops
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.TiffImagePlugin import TiffImageFile

from jobs.errors import ErrorCode, ImageRejected
from worker.images.opened import Opened, exif_orientation, high_byte

# TIFF tags, and what is decoded of each
_COMPRESSION, _PHOTOMETRIC, _BITS = 259, 262, 258
_STRIPS, _TILES, _TILE_WIDTH, _TILE_HEIGHT = 273, 324, 322, 323
_STRIP_BYTES, _TILE_BYTES, _PALETTE, _JPEG_TABLES = 279, 325, 320, 347
_NEEDED = {_BITS, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _PALETTE, _JPEG_TABLES}  # without these, no pixels
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # of the types that they come in
_WHITE_IS_ZERO = 0
_TIFF_COMPRESSIONS = {
    "raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg",
    "tiff_ccitt", "group3", "group4",
}  # fmt: skip
_TIFF_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B"}
_MAX_TIFF_PARTS = 100_000  # chosen: strips of one row, tiles of 16 x 16 px up to 25 megapixels
_MIN_TILE_BUDGET_PX = 4_194_304  # a tile may be larger than a small picture
_MAX_BOXES = 1000  # chosen: an AVIF has about three
_MAX_GIF_BLOCKS = 100_000  # chosen: 25 MB of comments before the first frame
_BMP_PACKED = {1: "RLE8", 2: "RLE4", 4: "JPEG", 5: "PNG"}


def open_avif(data: bytes) -> Opened:
    """Read the header of an AVIF; of a sequence the first frame counts. Its rotation comes as orientation."""
    _check_boxes_are_complete(data)
    try:
        image = AvifImageFile(io.BytesIO(data))
    except (OSError, SyntaxError, ValueError) as error:
        if "truncated" in str(error).lower():
            raise
        if b"mdat" not in data and b"idat" not in data:
            raise ImageRejected(ErrorCode.TRUNCATED, "the AVIF ends before its pixels") from error
        raise ImageRejected(
            ErrorCode.UNSUPPORTED_FORMAT, f"the AVIF is of a kind that the decoder does not read: {error}"
        ) from error

    def load(_: int | None) -> Image.Image:
        image.load()
        return image

    return Opened(
        format="avif",
        width=image.width,
        height=image.height,
        orientation=exif_orientation(image.info.get("exif")),
        icc=image.info.get("icc_profile"),
        load=load,
    )


def _check_boxes_are_complete(data: bytes) -> None:
    """Refuse an AVIF whose outermost boxes reach beyond its end; libavif names those in many ways."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position == len(data):
            return
        if position + 8 > len(data):
            raise ImageRejected(ErrorCode.TRUNCATED, f"the AVIF ends after {len(data)} bytes, inside a box's header")
        (length,) = struct.unpack_from(">I", data, position)
        if length == 1 and position + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, position + 8)
        if length < 8:  # 0 means to the end of the file, the rest is for libavif to judge
            return
        position += length
        if position > len(data):
            raise ImageRejected(ErrorCode.TRUNCATED, f"the AVIF declares {position} bytes and ends after {len(data)}")


def open_tiff(data: bytes) -> Opened:
    """Read the header of a TIFF; its first page counts. Pillow applies the orientation while loading."""
    _check_tiff_parts(data)
    image = _open_known_tiff(data)
    compression = image.info["compression"]
    if image.mode not in _TIFF_MODES or compression not in _TIFF_COMPRESSIONS:
        raise ImageRejected(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"the TIFF has pixels of mode {image.mode} compressed by {compression}; "
            "accepted are 1 to 16 bits of grey, palette, RGB or CMYK, "
            "raw or compressed by PackBits, LZW, Deflate, JPEG or CCITT",
        )
    tile_px = int(image.tag_v2.get(_TILE_WIDTH, 1)) * int(image.tag_v2.get(_TILE_HEIGHT, 1))
    if tile_px > max(_MIN_TILE_BUDGET_PX, 4 * image.width * image.height):
        raise ImageRejected(
            ErrorCode.TOO_MANY_PIXELS, f"the TIFF's tiles have {tile_px} pixels, far more than it has itself"
        )
    return Opened(
        format="tiff",
        width=image.width,
        height=image.height,
        icc=image.info.get("icc_profile"),
        load=lambda _: _load_tiff(image),
    )


def _open_known_tiff(data: bytes) -> TiffImageFile:
    try:
        return TiffImageFile(io.BytesIO(data))
    except SyntaxError as error:
        # Without a cause, or over a missing table entry, this is Pillow's word for an unknown layout;
        # with another cause the directory itself is broken.
        if error.__cause__ is None or isinstance(error.__cause__, KeyError):
            raise ImageRejected(
                ErrorCode.UNSUPPORTED_FORMAT, f"the TIFF has a layout that is not accepted: {error}"
            ) from error
        raise


def _load_tiff(image: TiffImageFile) -> Image.Image:
    """Decode a TIFF; 9 to 16 bits of grey come as 8, their high bits."""
    bits = int(image.tag_v2.get(_BITS, (1,))[0])
    white_is_zero = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    image.load()
    if not image.mode.startswith("I;16"):
        return image
    grey = high_byte(image, bits)
    return ImageChops.invert(grey) if white_is_zero else grey  # Pillow inverts up to 8 bits only


def _check_tiff_parts(data: bytes) -> None:
    """Refuse a first directory with absurdly many strips or tiles, or with values that lie behind the end.

    Pillow makes an object of each strip, and takes a file whose values are cut off for one of unknown layout.
    """
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    count = struct.unpack_from(order + "H", data, directory)[0] if directory + 2 <= len(data) else 0
    if not count or directory + 2 + 12 * count > len(data):
        raise ImageRejected(
            ErrorCode.TRUNCATED,
            f"the TIFF's directory at {directory} does not lie within its {len(data)} bytes",
        )
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, parts, place = struct.unpack_from(order + "HHII", data, entry)
        if tag in {_STRIPS, _TILES} and parts > _MAX_TIFF_PARTS:
            raise ImageRejected(
                ErrorCode.CORRUPT_IMAGE,
                f"the TIFF has {parts} strips or tiles; at most {_MAX_TIFF_PARTS} are read",
            )
        size = parts * _VALUE_BYTES.get(kind, 0)
        if tag in _NEEDED and size > 4 and place + size > len(data):  # up to four bytes lie in the entry itself
            raise ImageRejected(
                ErrorCode.TRUNCATED,
                f"the TIFF's tag {tag} lies at {place} to {place + size}; the file ends after {len(data)} bytes",
            )


def open_bmp(data: bytes) -> Opened:
    """Read the header of a BMP."""
    if len(data) >= 34 and struct.unpack_from("<I", data, 14)[0] >= 40:
        packing = _BMP_PACKED.get(struct.unpack_from("<I", data, 30)[0])
        if packing:  # Pillow unpacks run lengths byte by byte in Python: seconds per picture
            raise ImageRejected(ErrorCode.UNSUPPORTED_FORMAT, f"the BMP is packed by {packing}; accepted is raw")
    image = BmpImageFile(io.BytesIO(data))

    def load(_: int | None) -> Image.Image:
        image.load()
        return image

    return Opened(format="bmp", width=image.width, height=image.height, load=load)


def open_gif(data: bytes) -> Opened:
    """Read the header of a GIF; its first frame counts, on the canvas that holds it."""
    width, height = _gif_size(data)

    def load(_: int | None) -> Image.Image:
        image = GifImageFile(io.BytesIO(data))
        image.load()
        return image

    return Opened(format="gif", width=width, height=height, load=load)


def _gif_size(data: bytes) -> tuple[int, int]:
    """The size of the screen, grown to hold the first frame. Pillow allocates it on opening."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + ((2 << (flags & 7)) * 3 if flags & 0x80 else 0)
    for _ in range(_MAX_GIF_BLOCKS):
        if position >= len(data):
            raise ImageRejected(ErrorCode.TRUNCATED, f"the GIF ends after {len(data)} bytes, before its first frame")
        kind = data[position]
        if kind == 0x2C:
            # Its place, its flags, and behind them at least the first byte of a palette or of the pixels
            left, top, across, down, _, _ = struct.unpack_from("<HHHHBB", data, position + 1)
            if not across or not down:
                raise ImageRejected(
                    ErrorCode.UNSUPPORTED_FORMAT, f"the GIF's first frame is empty, {across} x {down} px"
                )
            return max(width, left + across), max(height, top + down)
        if kind == 0x3B:
            raise ImageRejected(ErrorCode.CORRUPT_IMAGE, "the GIF has no frame")
        position += 1
        if kind == 0x21:
            position += 1
            while position < len(data) and data[position]:
                position += 1 + data[position]
            position += 1
    raise ImageRejected(
        ErrorCode.CORRUPT_IMAGE, f"the GIF has more than {_MAX_GIF_BLOCKS} blocks before its first frame"
    )
