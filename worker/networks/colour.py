"""Colour spaces as tensors: sRGB and CIELAB, both ways. Every function takes and returns [..., 3]."""

from __future__ import annotations

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
