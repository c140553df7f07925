"""How near a picture's colours are to those of a style, whatever it shows.

Sliced Wasserstein distance (Rabin, Peyré, Delon & Bernot 2011, "Wasserstein Barycenter and its Application to Texture
Mixing") of colours in CIELAB: along each of several directions colours are put in order, and compared place by place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.networks.colour import srgb_to_lab
from worker.quality.looking import thinned

_SAMPLE_PX = 64  # square of so many pixels is looked at
_DIRECTIONS = 8
_PLACES = 32  # kept of the order along a direction
_SHIFT = 2.0  # a mean over directions sees half of a plain shift, as |cos| is 1/2 on average: so a shift counts whole


def palette(pictures: Sequence[Tensor]) -> Tensor:
    """Return what `style_distance` needs of a style's pictures: their colours in order, [directions, places].

    Pictures are uint8 [3, h, w] of any size; each has the same weight.
    """
    return torch.stack([lab_palette(_lab(picture)) for picture in pictures]).mean(0)


def style_distance(picture: Tensor, wanted: Tensor) -> float:
    """Return the distance of a picture's colours to a palette, in units of CIELAB: 0 where it has the same.

    Anchor: two pictures whose colours differ by one shift of 10 are 10 apart.
    """
    return palette_distance(lab_palette(_lab(picture)), wanted)


def palette_distance(first: Tensor, second: Tensor) -> float:
    """Return the distance of two palettes."""
    return _SHIFT * float((first - second).abs().mean())


def lab_palette(colours: Tensor) -> Tensor:
    """Return the palette of colours in CIELAB, [n, 3]."""
    along = (_directions() @ colours.T).numpy()
    along.sort(axis=1)  # numpy's sort has vector instructions that torch's has not
    ordered = torch.from_numpy(along)
    places = ((torch.arange(_PLACES) + 0.5) / _PLACES * ordered.shape[1]).long()
    return ordered[:, places]


@functools.cache
def _directions() -> Tensor:
    """Return directions spread over half a sphere, [n, 3]: a spiral of equal steps in height. Not to be changed."""
    steps = torch.arange(_DIRECTIONS)
    height = (steps + 0.5) / _DIRECTIONS
    turn = steps * (math.pi * (3 - math.sqrt(5)))
    radius = torch.sqrt(1 - height**2)
    return torch.stack((height, radius * torch.cos(turn), radius * torch.sin(turn)), dim=1)


def _lab(picture: Tensor) -> Tensor:
    return srgb_to_lab(thinned(picture, _SAMPLE_PX).cpu().flatten(1).T / 255)
