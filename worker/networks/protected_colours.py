"""Holds a brand's colours: a table is blended smoothly into the identity about them, as far as a stated ΔE2000 asks.

The guarantee, for each protected colour and all colours within `NEAR` of it: what the table makes of them differs from
them by at most the stated ΔE2000, and the table keeps the order of luma (`worker.networks.colour_order`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.colour import delta_e_2000, srgb_to_lab
from worker.networks.colour_order import in_order
from worker.networks.colour_table import identity_table, smooth_step

NEAR = 5.0  # distance, see `_distance`, up to which the bound holds
_HELD = 10.0  # distance of the lattice points that are held: further than NEAR by more than a cell of the lattice
_FREE = 35.0  # distance from which on nothing is held; chosen: wide enough that the blend leaves no step
_LIGHTNESS = 0.5  # of a difference in lightness counts: a colour in its own shade is still that colour
_MARGIN = 0.8  # of the bound is used at lattice points: between them it may be a little more
_TRIES = 6  # halvings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedColour:
    """A colour that a look must leave alone."""

    colour: tuple[int, int, int]  # sRGB, 0 to 255
    delta_e: float  # CIE 2000, by which it may move at most


def protect(table: Tensor, protected: Sequence[ProtectedColour], *, ordered: bool) -> Tensor:
    """Return the table [3, D, D, D] with these colours held. `ordered`: in the order of luma too."""
    if not protected:
        return in_order(table) if ordered else table
    plain = identity_table(table.shape[1], table.device)
    distances = [_distance(plain, each.colour) for each in protected]
    cores = [_core(distance, each.colour) for distance, each in zip(distances, protected, strict=True)]
    fades = [1 - smooth_step(d, _HELD, _FREE).where(~core, 0.0) for d, core in zip(distances, cores, strict=True)]
    kept = torch.zeros_like(distances[0])
    for each, core, fade in zip(protected, cores, fades, strict=True):
        kept = torch.maximum(kept, fade * (1 - _share(table, plain, core, each.delta_e)))
    found = torch.lerp(table, plain, kept)
    found = in_order(found) if ordered else found
    if all(_moved(found, plain, core) <= each.delta_e * _MARGIN for each, core in zip(protected, cores, strict=True)):
        return found
    # Bringing luma into order has moved them: hold them entirely, and let the others give way.
    found = torch.lerp(table, plain, torch.stack(fades).amax(0))
    return in_order(found, fixed=torch.stack(cores).any(0)) if ordered else found


def free_of(picture: Tensor, protected: Sequence[ProtectedColour]) -> Tensor:
    """Return where a picture may change, float [1, h, w]: 0 up to `NEAR` of a protected colour, 1 far from all.

    For what is no table. picture: [3, h, w] of 0 to 255.
    """
    free = torch.ones_like(picture[0], dtype=torch.float32)
    for each in protected:
        free = torch.minimum(free, smooth_step(_distance(picture / 255, each.colour), NEAR, _FREE))
    return free[None]


def _distance(plain: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """Return the distance of colours [3, …] in [0, 1] from one: CIELAB, lightness counting half. Shape […]."""
    lab = srgb_to_lab(plain.movedim(0, -1))
    difference = lab - srgb_to_lab(plain.new_tensor(colour) / 255)
    return (difference * plain.new_tensor((_LIGHTNESS, 1, 1))).square().sum(-1).sqrt()


def _core(distance: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """Return which points are held, bool [D, D, D]: those nearby, the colour's own cell, and their neighbours."""
    last = len(distance) - 1
    core = distance <= _HELD
    red, green, blue = (value * last / 255 for value in colour)
    for b in (int(blue), min(int(blue) + 1, last)):
        for g in (int(green), min(int(green) + 1, last)):
            core[b, g, [int(red), min(int(red) + 1, last)]] = True
    return F.max_pool3d(core.float()[None, None], 3, stride=1, padding=1)[0, 0] > 0


def _share(table: Tensor, plain: Tensor, core: Tensor, delta_e: float) -> float:
    """Return how much of the table's change the bound allows in the core, from 0 to 1."""
    low, high = 0.0, 1.0
    if _moved(table, plain, core) <= delta_e * _MARGIN:
        return 1.0
    for _ in range(_TRIES):
        middle = (low + high) / 2
        fits = _moved(torch.lerp(plain, table, middle), plain, core) <= delta_e * _MARGIN
        low, high = (middle, high) if fits else (low, middle)
    return low


def _moved(table: Tensor, plain: Tensor, core: Tensor) -> float:
    """Return the largest ΔE2000 between the table and the identity in the core."""
    found, was = (srgb_to_lab(t[:, core].T.clamp(0, 1)) for t in (table, plain))
    return float(delta_e_2000(found, was).max())
