"""Whole small pictures and their words: the examples of what learns to make pictures, or to read them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.training.photos import Photos

SIDE_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """A batch."""

    pixels: Tensor  # float [N, 3, side, side] in [0, 1]
    words: Tensor  # int64 [N, A], -1 where one is not known

    def to(self, device: torch.device) -> Pictures:
        """Return the same on a device."""
        return Pictures(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def first(self, count: int) -> Pictures:
        """Return so many of them."""
        return Pictures(pixels=self.pixels[:count], words=self.words[:count])


def draw_pictures(photos: Photos, count: int, generator: torch.Generator, *, shift: int = 0) -> Pictures:
    """Draw photos, each moved by up to so many pixels along both axes; what comes in at a side is the side's mirror.

    They are never mirrored as a whole: a product seen from the left would be seen from the right.
    """
    drawn = photos.some(torch.randint(len(photos), (count,), generator=generator))
    pixels = drawn.pixels / 255
    if shift:
        side = pixels.shape[2]
        wide = F.pad(pixels, (shift, shift, shift, shift), mode="reflect")
        corners = torch.randint(2 * shift + 1, (count, 2), generator=generator).tolist()
        parts = zip(wide, corners, strict=True)
        pixels = torch.stack([part[:, top : top + side, left : left + side] for part, (top, left) in parts])
    return Pictures(pixels=pixels, words=drawn.words)


def check_side(side_px: int, wanted: int) -> None:
    """Raise TypeError where a network is to be of another size than its objective's photos."""
    if side_px != wanted:
        raise TypeError(f"side_px is {side_px}; this objective's photos have {wanted} px")
