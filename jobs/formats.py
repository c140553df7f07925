"""The formats that results are written in, for every layer to name. It encodes nothing."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """A format that results can have. The value is what recipes say."""

    JPEG = "jpeg"  # no alpha: it is laid over a background colour
    PNG = "png"  # lossless
    WEBP = "webp"
    AVIF = "avif"
    CUBE = "cube"  # no picture: the colour table that a picture would get, for other programs to apply

    @property
    def extension(self) -> str:
        """The end of an output key, with its dot."""
        return ".jpg" if self is OutputFormat.JPEG else f".{self.value}"

    @property
    def media_type(self) -> str:
        """What Content-Type says."""
        return "text/plain; charset=utf-8" if self is OutputFormat.CUBE else f"image/{self.value}"

    @property
    def is_picture(self) -> bool:
        """Whether it holds pixels."""
        return self is not OutputFormat.CUBE


# How the names of picture files end. A prefix source takes names with one of these for pictures, and counts the others
# as passed over; output keys put their own ending in its place. Formats that are not accepted are among them, so that
# such files show up as failed items and are not passed over in silence.
PICTURE_ENDINGS = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "avif", "tif", "tiff", "bmp", "gif"}
    | {"heic", "heif", "ico", "jp2", "jxl", "psd", "svg", "eps", "dng", "cr2", "nef"}
)
