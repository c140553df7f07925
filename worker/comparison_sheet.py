"""Puts several products on one canvas: cut out, equally large, on common lines, and lit alike.

Every product fits the same box in the middle of its cell, standing on the box's lower edge, so that those of a row
stand on one line. Each throws the same soft shadow. What is not product is left out; nothing is added to it.
"""

from __future__ import annotations

import math
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
    box: tuple[int, int, int, int]  # left, top, right and bottom of the product; around it is room for a soft edge
    mask_px: float = 0.0  # how wide each step of a mask that was found is, in px; 0: it has none
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
    left, top, right, bottom = product.box
    scale = (side - 2 * margin) / max(right - left, bottom - top)
    colours, mask = _scaled(product, scale)
    foot, middle = side - margin, side / 2
    y, x = foot - round(bottom * scale), round(middle - (left + right) / 2 * scale)
    placed = Image.new("RGB", (side, side)), Image.new("L", (side, side))
    for image, part in zip(placed, (colours, mask), strict=True):
        image.paste(part, (x, y))
    ground = ColourBackground(colour=sheet.ground, shadow=SHADOW if product.alone else 0.0)
    return compose(np.asarray(placed[0]), np.asarray(placed[1]), ground, None)


def _scaled(product: _Product, scale: float) -> tuple[Image.Image, Image.Image]:
    """Return a product's colours and mask at another size."""
    height, width = product.mask.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if not product.mask_px:  # what is transparent has no colour that should count
        both = Image.fromarray(np.dstack((product.colours, product.mask))).resize(size, Image.Resampling.LANCZOS)
        return both.convert("RGB"), both.getchannel("A")
    colours, mask = (Image.fromarray(part).resize(size, Image.Resampling.LANCZOS) for part in product[:2])
    # The steps of the small picture in which it was found go, and the mask stays about as wide and as soft.
    return colours, mask.filter(ImageFilter.GaussianBlur(_SMOOTHING * product.mask_px * scale)).point(_STEEPER)


def _cut_out(photo: Picture) -> _Product:
    pixels, mask, mask_px, gains = photo.pixels, photo.alpha, 0.0, None
    if not tells(mask):
        mask = product_on_plain(pixels)
        mask_px = max(photo.height, photo.width) / SIDE_PX
        gains = None if mask is None else gains_to_white(pixels, mask)
    # What is less than half there is no product: pictures with alpha often bring a shadow of their own.
    extent = None if mask is None else Image.fromarray((mask >= _PRODUCT).view(np.uint8)).getbbox()
    if mask is None or extent is None:
        whole = np.full(pixels.shape[:2], 255, np.uint8)
        return _Product(pixels, whole, (0, 0, photo.width, photo.height), alone=False)
    left, top, right, bottom = extent
    room = math.ceil(2 * _SMOOTHING * mask_px)
    x, y = max(left - room, 0), max(top - room, 0)
    around = np.s_[y : bottom + room, x : right + room]
    colours = pixels[around] if gains is None else lit_by(pixels[around], gains)
    return _Product(colours, mask[around], (left - x, top - y, right - x, bottom - y), mask_px)
