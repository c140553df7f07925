"""Photos drawn by code, for tests of training and of benchmarks."""

import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_photos(folder: Path, count: int, *, side: int = 48) -> list[Path]:
    """Write `count` small pictures of coloured things on coloured grounds, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(f"{folder.name} {count}")
    paths = []
    for number in range(count):
        image = Image.new("RGB", (side, side + 8), _colour(chance))
        draw = ImageDraw.Draw(image)
        for _ in range(4):
            x, y = chance.randrange(side), chance.randrange(side)
            draw.ellipse((x, y, x + chance.randrange(8, side), y + chance.randrange(8, side)), fill=_colour(chance))
        noise = np.random.default_rng(number).normal(0, 4, (side + 8, side, 3))
        pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:03}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)
