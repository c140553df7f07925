"""Puts several products on one canvas: cut out, equally large, on common lines, and lit alike.

Every product fits the same box in the middle of its cell, standing on the box's lower edge, so that those of a row
stand on one line. Each throws the same soft shadow. What is not product is left out; nothing is added to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from jobs.looks import ColourBackground
from jobs.sheets import Sheet
from worker.backgrounds import compose
from worker.images import Picture
from worker.masks import tells
from worker.plain_background import SIDE_PX, product_on_plain
from worker.white import gains_to_white, lit_by

Pixels = NDArray[np.uint8]

MARGIN = 0.1  # of a cell, on each side of the box
SHADOW = 0.4  # how dark; see worker.backgrounds
_PRODUCT = 128  # of 255: from here on a mask says that this is product
_SMOOTHING = 1.0  # of a pixel of the picture in which a mask was found; chosen by eye
_STEEPER = [
    min(255, max(0, round((value - 127.5) * 2.5 + 127.5))) for value in range(256)
]  # undoes the blur's softness


class _Product(NamedTuple):
    """What of a photo goes to the sheet."""

    colours: Pixels  # [h, w, 3]
    mask: Pixels  # [h, w]
    mask_px: float = 0.0  # how wide each step of the mask is, in px; 0: it has none
    alone: bool = True  # False: the whole photo, as its product cannot be told


def sheet_size(sheet: Sheet) -> tuple[int, int]:
    """Return a sheet's (width, height) in px."""
    return sheet.columns * sheet.cell_px, sheet.rows * sheet.cell_px


def compose_sheet(photos: Iterable[Picture], sheet: Sheet) -> Pixels:
    """Return a sheet, uint8 [H, W, 3], of photos that come one after the other.

    Raises:
        JobsError: OpenCV, which finds products on plain backgrounds, is not installed.

    """
    width, height = sheet_size(sheet)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = list(bytes.fromhex(sheet.ground.removeprefix("#")))
    for number, photo in enumerate(photos):
        row, column = divmod(number, sheet.columns)
        top, left = row * sheet.cell_px, column * sheet.cell_px
        canvas[top : top + sheet.cell_px, left : left + sheet.cell_px] = _cell(photo, sheet)
    return canvas


def _cell(photo: Picture, sheet: Sheet) -> Pixels:
    """Return a product in its cell."""
    side, margin = sheet.cell_px, round(MARGIN * sheet.cell_px)
    product = _cut_out(photo)
    height, width = product.mask.shape
    scale = (side - 2 * margin) / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = Image.fromarray(np.dstack((product.colours, product.mask))).resize(size, Image.Resampling.LANCZOS)
    if product.mask_px:
        fitted.putalpha(_smooth(fitted.getchannel("A"), product.mask_px * scale))
    placed = np.zeros((side, side, 4), np.uint8)
    bottom, left = side - margin, (side - size[0]) // 2
    placed[bottom - size[1] : bottom, left : left + size[0]] = np.asarray(fitted)
    ground = ColourBackground(colour=sheet.ground, shadow=SHADOW if product.alone else 0.0)
    return compose(placed[..., :3], placed[..., 3], ground, None)


def _cut_out(photo: Picture) -> _Product:
    pixels, mask, found = photo.pixels, photo.alpha, None
    if not tells(mask):
        mask = found = product_on_plain(pixels)
    if mask is None:
        return _Product(pixels, np.full(pixels.shape[:2], 255, np.uint8), alone=False)
    # What is less than half there is no product: pictures with alpha often bring a shadow of their own.
    rows, columns = (np.flatnonzero((mask >= _PRODUCT).any(axis)) for axis in (1, 0))
    if not len(rows):
        return _Product(pixels, np.full(pixels.shape[:2], 255, np.uint8), alone=False)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if found is None:
        return _Product(pixels[box], mask[box])
    gains = gains_to_white(pixels, mask)
    colours = pixels[box] if gains is None else lit_by(pixels[box], gains)
    return _Product(colours, mask[box], mask_px=max(mask.shape) / SIDE_PX)


def _smooth(mask: Image.Image, step_px: float) -> Image.Image:
    """Return a mask without the steps of the small picture in which it was found: as soft and as wide as before."""
    return mask.filter(ImageFilter.GaussianBlur(_SMOOTHING * step_px)).point(_STEEPER)
