"""Draws what is to be repaired: scratches, stickers, letters over the picture, and larger pieces that are missing."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MOST = 0.4  # of a square that may be missing


def random_holes(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw what is missing from squares: float [count, 1, side, side], 1 or 0, of each some and never most."""
    seeds = torch.randint(2**31, (count,), generator=generator).tolist()
    return torch.stack([_hole(side, random.Random(seed)) for seed in seeds])


def _hole(side: int, chance: random.Random) -> Tensor:
    hole = np.zeros((side, side), dtype=bool)
    while not hole.any():
        for _ in range(chance.choice((1, 1, 2, 3))):
            image = Image.new("1", (side, side))
            chance.choice(_KINDS)(ImageDraw.Draw(image), side, chance)
            more = hole | np.asarray(image)
            hole = more if more.mean() <= MOST else hole
    return torch.from_numpy(hole).float()[None]


def _scratches(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    """A few lines that bend, one to a few pixels wide."""
    for _ in range(chance.randint(1, 5)):
        x, y, step = chance.uniform(0, side), chance.uniform(0, side), side / 8
        way_x, way_y = chance.gauss(0, 1), chance.gauss(0, 1)
        points = [(x, y)]
        for _ in range(chance.randint(2, 10)):
            way_x, way_y = way_x + chance.gauss(0, 0.4), way_y + chance.gauss(0, 0.4)
            x, y = x + step * way_x, y + step * way_y
            points.append((x, y))
        draw.line(points, fill=1, width=chance.randint(1, max(2, side // 20)), joint="curve")


def _sticker(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    """A round or a square patch."""
    wide, high = (chance.uniform(0.1, 0.45) * side for _ in range(2))
    x, y = chance.uniform(-0.1, 1) * side, chance.uniform(-0.1, 1) * side
    shape = chance.choice((draw.ellipse, draw.rectangle))
    shape((x, y, x + wide, y + high), fill=1)


def _letters(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    """A line of text, as watermarks are; perhaps several times."""
    text = "".join(chance.choice(string.ascii_letters + string.digits + " ") for _ in range(chance.randint(3, 12)))
    font = ImageFont.load_default(chance.uniform(0.08, 0.3) * side)
    for _ in range(chance.choice((1, 1, 3))):
        place = chance.uniform(-0.2, 0.7) * side, chance.uniform(-0.1, 0.9) * side
        draw.text(place, text, fill=1, font=font, stroke_width=chance.choice((0, 1, 2)))


def _piece(draw: ImageDraw.ImageDraw, side: int, chance: random.Random) -> None:
    """A larger piece with an uneven outline."""
    x, y, size = chance.uniform(0, side), chance.uniform(0, side), chance.uniform(0.12, 0.4) * side
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    outline = [
        (
            x + size * chance.uniform(0.5, 1) * float(np.cos(turn)),
            y + size * chance.uniform(0.5, 1) * float(np.sin(turn)),
        )
        for turn in turns
    ]
    draw.polygon(outline, fill=1)


_KINDS: tuple[Callable[[ImageDraw.ImageDraw, int, random.Random], None], ...] = (_scratches, _sticker, _letters, _piece)
