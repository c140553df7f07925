"""Cuts a picture into tiles of one shape, each with what surrounds it.

Where a network looks no further than the surroundings, what it makes of a tile's middle does not depend on how the
tiles lie. As all have the same shape and go through the network one by one, neither do the last bits of its sums on
the picture's size or on the batch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of a picture."""

    top: int  # px, of the middle
    left: int
    height: int  # px, of that part of the middle which lies in the picture
    width: int
    side: int  # px, of the middle
    around: int  # px that are seen beyond the middle, on every side

    def cut(self, picture: Tensor) -> Tensor:
        """Return it with its surroundings, [C, side + 2 around, side + 2 around]; borders of the picture go on."""
        height, width = picture.shape[1:]
        return picture[:, self.rows(height, picture.device)[:, None], self.columns(width, picture.device)]

    def rows(self, height: int, device: torch.device) -> Tensor:
        """Return which rows of a picture of this height are cut, int64 [side + 2 around]."""
        return self._along(self.top, height, device)

    def columns(self, width: int, device: torch.device) -> Tensor:
        """Return the same of columns."""
        return self._along(self.left, width, device)

    def middle(self, found: Tensor, scale: int = 1) -> Tensor:
        """Return what lies in the picture of what was made of it, [C, …]: [C, scale height, scale width]."""
        start = scale * self.around
        return found[:, start : start + scale * self.height, start : start + scale * self.width]

    def place(self, scale: int = 1) -> tuple[slice, slice]:
        """Return rows and columns of the middle, in a picture so many times as large."""
        rows = slice(scale * self.top, scale * (self.top + self.height))
        return rows, slice(scale * self.left, scale * (self.left + self.width))

    def _along(self, start: int, length: int, device: torch.device) -> Tensor:
        seen = torch.arange(start - self.around, start + self.side + self.around, device=device)
        return seen.clamp(0, length - 1)


def tiles(height: int, width: int, *, side: int, around: int) -> Iterator[Tile]:
    """Yield tiles that together cover a picture."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Tile(top, left, min(side, height - top), min(side, width - left), side, around)
