"""Colour spaces as tensors: sRGB and CIELAB, both ways, each [..., 3]; and the distance that eyes see."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# IEC 61966-2-1, and CIE XYZ of the D65 white point, 2° observer.
_RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)
_KNEE = 6 / 29  # where CIELAB's cube root turns into a line


def srgb_to_linear(colours: Tensor) -> Tensor:
    """Undo the sRGB transfer curve. Range [0, 1] to [0, 1]; negative values stay on the linear part."""
    curve = ((colours.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(colours <= 0.04045, colours / 12.92, curve)


def linear_to_srgb(colours: Tensor) -> Tensor:
    """Apply the sRGB transfer curve. Values above 1 or below 0 stay outside [0, 1]."""
    curve = 1.055 * colours.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(colours <= 0.0031308, colours * 12.92, curve)


def srgb_to_lab(colours: Tensor) -> Tensor:
    """Turn sRGB in [0, 1] into CIELAB (D65): L in [0, 100], a and b about ±110."""
    matrix = colours.new_tensor(_RGB_TO_XYZ)
    relative = srgb_to_linear(colours) @ matrix.T / colours.new_tensor(_WHITE)
    root = relative.clamp(min=_KNEE**3) ** (1 / 3)
    f = torch.where(relative <= _KNEE**3, relative / (3 * _KNEE**2) + 4 / 29, root)
    x, y, z = f.unbind(-1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-1)


def lab_to_srgb(colours: Tensor) -> Tensor:
    """Turn CIELAB (D65) into sRGB. Colours outside the gamut come back outside [0, 1]."""
    lightness, a, b = colours.unbind(-1)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), dim=-1)
    relative = torch.where(f <= _KNEE, 3 * _KNEE**2 * (f - 4 / 29), f**3)
    inverse = torch.linalg.inv(torch.tensor(_RGB_TO_XYZ, dtype=torch.float64)).to(colours)
    return linear_to_srgb(relative * colours.new_tensor(_WHITE) @ inverse.T)


def delta_e_2000(a: Tensor, b: Tensor) -> Tensor:
    """Return the colour difference CIEDE2000 of two CIELAB colours: [..., 3] and [..., 3] -> [...].

    Sharma, Wu & Dalal 2005, "The CIEDE2000 Color-Difference Formula", equations 2 to 22, with all three weights 1.
    """
    (l1, a1, b1), (l2, a2, b2) = a.unbind(-1), b.unbind(-1)
    chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturating(chroma)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = (torch.atan2(y, x).remainder(2 * math.pi) for y, x in ((b1, a1), (b2, a2)))
    coloured = (c1 * c2 > 0).to(a1)  # a grey has no hue
    turn = torch.remainder(h2 - h1 + math.pi, 2 * math.pi) - math.pi
    hue = 2 * (c1 * c2).sqrt() * torch.sin(turn * coloured / 2)
    # Halfway on the shorter way around; of two of which one is grey, the other's.
    middle = torch.where(coloured > 0, h1 + turn / 2, h1 + h2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1
        - 0.17 * torch.cos(middle - math.radians(30))
        + 0.24 * torch.cos(2 * middle)
        + 0.32 * torch.cos(3 * middle + math.radians(6))
        - 0.20 * torch.cos(4 * middle - math.radians(63))
    )
    away = (lightness - 50).square()
    of_lightness = (l2 - l1) / (1 + 0.015 * away / (20 + away).sqrt())
    of_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    of_hue = hue / (1 + 0.015 * chroma * weight)
    degrees = torch.rad2deg(middle.remainder(2 * math.pi))
    rotation = torch.deg2rad(60 * torch.exp(-(((degrees - 275) / 25) ** 2)))
    cross = -torch.sin(rotation) * 2 * _saturating(chroma) * of_chroma * of_hue
    squared = of_lightness.square() + of_chroma.square() + of_hue.square() + cross
    return squared.clamp(min=0).sqrt()


def _saturating(chroma: Tensor) -> Tensor:
    return (chroma**7 / (chroma**7 + 25.0**7)).sqrt()
