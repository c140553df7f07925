"""Smooth light over the frame, a vignette or a lit side: read off a picture, and carried to another by two tables.

Read: between neighbours of a thumbnail the logarithm of the luminance takes steps. Steps that things make are large or
go either way; those of smooth light are small and all agree. So a slope to each side and a bend around the middle are
fitted to the steps, and large ones count for nothing (after Land & McCann 1971, "Lightness and Retinex Theory"; the
robust weights are those of Geman & McClure 1985). Bricks that are each lit from one side fool that, and a bright thing
in the middle fools a fit to the luminance itself: of each term as much is believed as both fits say.

Carried: one table holds the look where the light is weakest, another where it is strongest, and each place mixes both
by its share of light (after Wang et al. 2021, "Real-time Image Enhancer via Learnable Spatial-aware 3D Lookup Tables",
ICCV). That is a bilateral grid (Chen, Paris & Durand 2007) of two slices over all three channels of colour instead of
many over its brightness: whatever both tables keep, their mix keeps at every place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.networks.colour import srgb_to_linear

TERMS = 3  # across, down, around the middle
MOST_STOPS = 1.0  # of more or less light than in the mean of the frame

_LUMINANCE = (0.2126, 0.7152, 0.0722)
_NOISE = 0.01  # of luminance is added: what is darker holds no light that could be read
_STEP = 0.05  # stops; larger ones between neighbours of a thumbnail count less and less. Chosen on photos
_ROUNDS = 10
_UNSEEN = 0.35  # stops between the weakest and the strongest light: what is read off evenly lit photos by chance
_GAMMA = 2.2  # stops of light act on sRGB as it is stored: a power law is near enough
_PLACES = 17  # of a side, at which the weakest and the strongest light are looked for


def read_light(thumbnail: Tensor) -> Tensor:
    """Return the light of a picture in stops, float [1, 3]: slope across and down, and bend; thumbnail [1, 3, s, s]."""
    linear = srgb_to_linear(thumbnail[0].double())
    stops = (torch.tensordot(linear.new_tensor(_LUMINANCE), linear, dims=1) + _NOISE).log2()
    side = len(stops)
    axis = (torch.arange(side, device=stops.device, dtype=stops.dtype) + 0.5) / side * 2 - 1
    terms = _terms(axis[None].expand(side, side), axis[:, None].expand(side, side))
    by_steps, by_level = _fit_steps(stops, terms), _fit_level(stops, terms)
    agree = torch.minimum(by_steps.abs(), by_level.abs()) * (by_steps * by_level > 0)
    found: Tensor = (agree * by_steps.sign())[None].float()
    return found


def _fit_steps(stops: Tensor, terms: Tensor) -> Tensor:
    """Return the terms whose steps are those between neighbours, whatever large steps there are."""
    steps = torch.cat((stops.diff(dim=1).flatten(), stops.diff(dim=0).flatten()))
    slopes = torch.cat((terms.diff(dim=2).flatten(1), terms.diff(dim=1).flatten(1)), dim=1)
    light = stops.new_zeros(TERMS)
    for _ in range(_ROUNDS):
        weights = (1 + ((steps - light @ slopes) / _STEP).square()).square().reciprocal()
        weighted = slopes * weights
        light = torch.linalg.solve(weighted @ slopes.T, weighted @ steps)
    return light


def _fit_level(stops: Tensor, terms: Tensor) -> Tensor:
    """Return the terms that come nearest to the luminance itself."""
    level = (stops - stops.mean()).flatten()
    flat = terms.flatten(1)
    light: Tensor = torch.linalg.solve(flat @ flat.T, flat @ level)
    return light


@dataclass(frozen=True, slots=True)
class LocalLight:
    """The light that a picture is to have."""

    terms: tuple[float, float, float]
    weakest: float  # stops
    strongest: float

    def shares(self, size: tuple[int, int], top: int, bottom: int, device: torch.device) -> Tensor:
        """Return for rows of a picture of this height and width how much each place has of the strongest light, from
        0 to 1: float [bottom - top, w].

        Every number comes from its own place alone: rows have the same in whatever part of a picture.
        """
        height, width = size
        x = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
        y = (torch.arange(top, bottom, device=device) + 0.5) / height * 2 - 1
        across, down, bend = self.terms
        along_x, along_y = across * x + bend * x * x, down * y + bend * (y * y - 2 / 3)
        gains = torch.exp2((along_x[None] + along_y[:, None]) / _GAMMA)
        least, most = _gain(self.weakest), _gain(self.strongest)
        return ((gains - least) / (most - least)).clamp_(0, 1)


def light_to_give(light: Tensor, amount: float) -> LocalLight | None:
    """Return so much of a style's light [1, 3], at most 1 stop up or down; None where there is none to be seen."""
    axis = torch.linspace(-1, 1, _PLACES, dtype=torch.float64)
    terms = light[0].double().cpu()
    field = torch.tensordot(terms, _terms(axis[None].expand(_PLACES, -1), axis[:, None].expand(-1, _PLACES)), dims=1)
    spread = float(field.max() - field.min())
    if amount == 0 or spread <= _UNSEEN:
        return None
    factor = amount * (1 - (_UNSEEN / spread) ** 2)
    factor = min(factor, MOST_STOPS / float(field.abs().max()))
    across, down, bend = (float(term) * factor for term in terms)
    return LocalLight((across, down, bend), float(field.min()) * factor, float(field.max()) * factor)


def lit(table: Tensor, stops: float) -> Tensor:
    """Return the table under more or less light. More of it does not make white whiter: it bends towards it."""
    gain = _gain(stops)
    table = table.clamp(0, 1)
    return table * gain if gain <= 1 else table * gain / (1 + (gain - 1) * table)


def _gain(stops: float) -> float:
    return float(2 ** (stops / _GAMMA))


def _terms(x: Tensor, y: Tensor) -> Tensor:
    """Return the terms at places from -1 to 1, [3, ...], each 0 in the mean over the frame."""
    return torch.stack((x, y, x * x + y * y - 2 / 3))
