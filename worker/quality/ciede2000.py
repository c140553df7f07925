"""The difference of two colours as people see it: ΔE2000.

Sharma, Wu & Dalal 2005, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
mathematical observations", Color Research & Application 30(1), equations 2 to 22; kL = kC = kH = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FAR = 25.0**7


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """Return ΔE2000 of colours in CIELAB, [..., 3] and [..., 3] -> [...]; about 1 can just be seen."""
    light1, a1, b1 = first.unbind(-1)
    light2, a2, b2 = second.unbind(-1)
    chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2  # equations 2 and 3
    stretch = 1.5 - 0.5 * torch.sqrt(chroma**7 / (chroma**7 + _FAR))  # 1 + G, equations 4 and 5
    chroma1, chroma2 = torch.hypot(stretch * a1, b1), torch.hypot(stretch * a2, b2)  # equation 6
    hue1, hue2 = (torch.rad2deg(torch.atan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))  # equation 7

    grey = chroma1 * chroma2 == 0  # a grey has no hue
    turn = hue2 - hue1
    turn = torch.where(turn > 180, turn - 360, torch.where(turn < -180, turn + 360, turn))
    turn = torch.where(grey, 0.0, turn)  # equation 10
    lightness_step, chroma_step = light2 - light1, chroma2 - chroma1  # equations 8 and 9
    hue_step = 2 * torch.sqrt(chroma1 * chroma2) * torch.sin(torch.deg2rad(turn / 2))  # equation 11

    lightness, chroma = (light1 + light2) / 2, (chroma1 + chroma2) / 2  # equations 12 and 13
    total = hue1 + hue2
    apart = (hue1 - hue2).abs() > 180
    hue = torch.where(apart, torch.where(total < 360, total + 360, total - 360), total) / 2
    hue = torch.where(grey, total, hue)  # equation 14
    weight = (  # T, equation 15
        1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    )
    rotation = 30 * torch.exp(-(((hue - 275) / 25) ** 2))  # equation 16
    spread = 2 * torch.sqrt(chroma**7 / (chroma**7 + _FAR))  # equation 17
    middle = (lightness - 50) ** 2
    scale_lightness = 1 + 0.015 * middle / torch.sqrt(20 + middle)  # equation 18
    scale_chroma, scale_hue = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight  # equations 19 and 20
    twist = -torch.sin(torch.deg2rad(2 * rotation)) * spread  # equation 21
    in_lightness, in_chroma, in_hue = (
        lightness_step / scale_lightness,
        chroma_step / scale_chroma,
        hue_step / scale_hue,
    )
    square = in_lightness**2 + in_chroma**2 + in_hue**2 + twist * in_chroma * in_hue
    return torch.sqrt(square.clamp(min=0))  # equation 22


def _cos(degrees: Tensor) -> Tensor:
    return torch.cos(torch.deg2rad(degrees))
