"""Random grades: what a photographer's sliders do to a picture, with parameters that are known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from worker.networks.colour_table import identity_table

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, slots=True, kw_only=True)
class Grades:
    """One grade per picture; every field is [N, 1] or [N, 3] (per colour channel)."""

    exposure: Tensor  # gain, log-normal
    balance: Tensor  # gain per channel, log-normal
    gamma: Tensor  # exponent, log-normal
    contrast: Tensor  # amount of an S curve through 0, 1/2 and 1
    saturation: Tensor  # gain of the chroma, log-normal
    hue: Tensor  # rotation around the grey axis, radians
    shadows: Tensor  # tint added towards black
    highlights: Tensor  # tint added towards white

    def __getitem__(self, which: Tensor) -> Grades:
        """Return these grades, in this order."""
        return Grades(**{field.name: getattr(self, field.name)[which] for field in fields(self)})


def random_grades(count: int, *, strength: Tensor | float = 1.0, generator: torch.Generator) -> Grades:
    """Draw grades. `strength` [count, 1] or one number scales every slider; at 0 the grade changes nothing.

    The spreads are chosen by eye: at 1 most grades are bold but believable.
    """

    def spread(channels: int, deviation: float) -> Tensor:
        return torch.randn(count, channels, generator=generator) * deviation * strength

    return Grades(
        exposure=spread(1, 0.22).exp(),
        balance=spread(3, 0.12).exp(),
        gamma=spread(1, 0.25).exp(),
        contrast=spread(1, 0.35),
        saturation=spread(1, 0.35).exp(),
        hue=spread(1, 0.12),
        shadows=spread(3, 0.05),
        highlights=spread(3, 0.05),
    )


def random_hues(count: int, *, generator: torch.Generator) -> Grades:
    """Draw grades that give things any other colour; greys stay."""
    nothing = random_grades(count, strength=0.0, generator=generator)
    angle = (torch.rand(count, 1, generator=generator) * 2 - 1) * math.pi
    return replace(nothing, hue=angle, saturation=(torch.randn(count, 1, generator=generator) * 0.4).exp())


def apply_grades(colours: Tensor, grades: Grades) -> Tensor:
    """Grade colours: [N, P, 3] in [0, 1] -> the same shape and range."""
    tone = (colours * (grades.exposure * grades.balance)[:, None]).clamp(1e-4, 1) ** grades.gamma[:, None]
    tone = tone + grades.contrast[:, None] * tone * (1 - tone) * (2 * tone - 1)
    luma = tone @ tone.new_tensor(_LUMA)[:, None]
    tinted = luma + _rotate(tone - luma, grades.hue) * grades.saturation[:, None]
    tinted = tinted + grades.shadows[:, None] * (1 - luma) ** 2 + grades.highlights[:, None] * luma**2
    return tinted.clamp(0, 1)


def _rotate(chroma: Tensor, angle: Tensor) -> Tensor:
    """Rotate around the grey axis (1, 1, 1); the part along that axis is dropped but for its cosine."""
    cross = (chroma.roll(1, dims=2) - chroma.roll(-1, dims=2)) / math.sqrt(3)
    return chroma * angle.cos()[:, None] + cross * angle.sin()[:, None]


def principal_grades(count: int, *, lattice: int, generator: torch.Generator) -> Tensor:
    """Return the principal components of random grades, as tables [count, 3, D, D, D], largest first.

    Each is scaled to one standard deviation: a good first guess for a learned basis.
    """
    samples = 3000  # chosen: the components no longer move with more
    identity = identity_table(lattice)
    colours = identity.flatten(1).T.expand(samples, -1, -1)
    change = apply_grades(colours, random_grades(samples, generator=generator)) - colours
    flat = change.transpose(1, 2).flatten(1)
    values, vectors = torch.linalg.eigh(flat.T @ flat / samples)
    scaled = vectors.flip(1)[:, :count] * values.flip(0)[:count].clamp(min=0).sqrt()
    tables: Tensor = scaled.T.reshape(count, 3, lattice, lattice, lattice).contiguous()
    return tables
