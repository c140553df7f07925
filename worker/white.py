"""Brings photos of products on plain backdrops to one light: what each backdrop shows to be white becomes white.

A backdrop that is light and of little colour is taken for a white one in the light of its photo (von Kries 1902, in
linear light): each channel is multiplied by what makes the backdrop white, the product's with it. A backdrop that is
dark, or of a colour of its own, says nothing of the light, and the photo stays as it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

_LEAST_LIGHT = 0.3  # of white, linear: chosen. Darker than that, a backdrop is meant to be grey
_MOST_COLOUR = 2.5  # brightest ÷ darkest channel, linear: chosen. Above that, no lamp is so coloured
_SAMPLES = 65_536  # pixels that are looked at
_BRIGHT = 0.995  # this much of the product must not be driven beyond white
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def gains_to_white(pixels: Pixels, mask: Pixels) -> Floats | None:
    """Return what to multiply red, green and blue of a photo by, in linear light; None: its backdrop does not tell.

    pixels: uint8 [H, W, 3]. mask: uint8 [H, W], 0 where the backdrop is, 255 where the product is.
    """
    step = max(1, math.isqrt(mask.size // _SAMPLES))
    pixels, mask = pixels[::step, ::step], mask[::step, ::step]
    backdrop, product = pixels[mask == 0], pixels[mask == 255]
    if not len(backdrop) or not len(product):
        return None
    white = _LINEAR[np.median(backdrop, axis=0).astype(np.uint8)]
    if white @ _LUMINANCE < _LEAST_LIGHT or white.max() > _MOST_COLOUR * white.min():
        return None
    gains: Floats = 1 / white
    brightest = float(np.quantile((_LINEAR[product] * gains) @ _LUMINANCE, _BRIGHT))
    return gains / max(brightest, 1.0)


def lit_by(pixels: Pixels, gains: Floats) -> Pixels:
    """Return a photo, or a part of it, uint8 [H, W, 3], in the light that the gains make of its own."""
    tables = np.stack([_encoded(_LINEAR * gain) for gain in gains])
    return np.dstack([tables[channel][pixels[..., channel]] for channel in range(3)])


def _encoded(linear: Floats) -> Pixels:
    """Return sRGB of linear light; what is beyond white is white."""
    light = linear.clip(0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curve * 255 + 0.5).astype(np.uint8)


def _linear() -> Floats:
    values = np.arange(256) / 255
    curve: Floats = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return curve


_LINEAR = _linear()  # light by sRGB value
