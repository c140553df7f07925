"""Keeps a colour table from turning light into dark: what is at least as bright in every channel stays as bright.

The guarantee: let no channel of colour p be above the same channel of colour q. Then the luma of q's output is not
below that of p's, but for the rounding to 8 bits, at most 1 of 255. So a ramp of greys, a shadow's edge, a fold never
turn around. Luma is Y' = 0.2126 R' + 0.7152 G' + 0.0722 B' (ITU-R BT.709) of the sRGB-encoded channels: it is linear in
them, as is the interpolation between lattice points, so what holds at the lattice holds between.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LUMA = (0.2126, 0.7152, 0.0722)
_AXES = (0, 1, 2)


def luma(table: Tensor) -> Tensor:
    """Return the luma of colours [3, ...] -> [...]."""
    found: Tensor = torch.tensordot(table.new_tensor(_LUMA), table, dims=1)
    return found


def in_order(table: Tensor, fixed: Tensor | None = None) -> Tensor:
    """Return the table [3, D, D, D], clamped to [0, 1], whose luma rises along all axes and is otherwise near its own.

    The luma becomes the middle between the least rising function above it and the greatest below it, which is the
    nearest rising one in the largest difference; a table that rises already only is clamped. Colours become lighter by
    moving towards white and darker by moving towards black: they stay in range, and of their hue.

    fixed: bool [D, D, D], points that keep their colours. Between themselves they must rise already.
    """
    table = table.clamp(0, 1)
    was = luma(table)
    bounded = was if fixed is None else was.clamp(*_bounds(was, fixed))
    wanted = (_rising_above(bounded) + _rising_below(bounded)) / 2
    up = torch.lerp(table, torch.ones_like(table), ((wanted - was) / (1 - was).clamp(min=1e-6)).clamp(0, 1))
    down = table * (wanted / was.clamp(min=1e-6)).clamp(0, 1)
    return torch.where(wanted > was, up, torch.where(wanted < was, down, table))


def _bounds(values: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
    """Return between which values a rising function must stay that has these values at the fixed points."""
    least = _rising_above(values.where(fixed, 0.0))
    most = _rising_below(values.where(fixed, 1.0))
    return least, most


def _rising_above(values: Tensor) -> Tensor:
    """Return, at each point, the highest value of all points that are nowhere above it."""
    for axis in _AXES:
        values = values.cummax(axis).values
    return values


def _rising_below(values: Tensor) -> Tensor:
    """Return, at each point, the lowest value of all points that are nowhere below it."""
    return _rising_above(-values.flip(_AXES)).flip(_AXES).neg()
