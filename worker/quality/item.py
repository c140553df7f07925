"""What is measured of every picture that a worker makes: a few milliseconds, whatever its size.

Each measure is that of its own file, on as many pixels as tell it. What several look at is worked out once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worker.networks.colour import srgb_to_lab
from worker.quality.colours import lab_shift
from worker.quality.looking import luminance, thinned
from worker.quality.sharpness import sharpness
from worker.quality.silhouette import silhouette_iou_of
from worker.quality.similarity import psnr_db, ssim_of, structure_of
from worker.quality.style import lab_palette, palette_distance

_SIDE_PX = 128  # square of so many pixels is looked at for what needs neighbours; chosen for its cost
_STRIDE = 4  # of windows: their mean is near enough to that of all, and they cost a sixteenth
_COLOUR_EVERY = 5  # pixels of that, of which colours are taken
_DIGITS = 5  # that are kept of a figure


@torch.inference_mode()
def measure_item(
    original: Tensor, restyled: Tensor, *, mask: Tensor | None = None, palette: Tensor | None = None
) -> dict[str, float]:
    """Return the figures of a picture by their names in `jobs.measures`.

    original, restyled: uint8 [3, h, w] in memory. mask: uint8 [1, h, w], 255 where the product is; None: everywhere.
    palette: of the style, from `worker.quality.style.palette`; None: there is no style, and no distance to it.
    """
    pair = torch.stack([thinned(each, _SIDE_PX) for each in (original, restyled)])
    lights = luminance(pair)
    product = None if mask is None else thinned(mask, _SIDE_PX).contiguous()
    figures: dict[str, float | None] = {
        "psnr_db": psnr_db(*pair),
        "ssim": ssim_of(lights, stride=_STRIDE),
        "structure": structure_of(lights, product, stride=_STRIDE),
        "sharpness": sharpness(original, restyled, mask),
        "silhouette_iou": silhouette_iou_of(pair, lights),
    }
    few = pair[:, :, ::_COLOUR_EVERY, ::_COLOUR_EVERY]
    was, now = srgb_to_lab(few.flatten(2).transpose(1, 2).contiguous() / 255)
    if palette is not None:
        figures["style_distance"] = palette_distance(lab_palette(now), palette)
    if product is not None:
        inside = product[0, ::_COLOUR_EVERY, ::_COLOUR_EVERY].flatten() >= 128
        was, now = was[inside], now[inside]
    figures["colour_shift"] = lab_shift(was, now)
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in figures.items() if value is not None}
