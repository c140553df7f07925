"""Photos drawn by code, for tests of training, of measures and of benchmarks."""

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor


def draw_photos(folder: Path, count: int, *, side: int = 48, noise: float = 4) -> list[Path]:
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
        grain = np.random.default_rng(number).normal(0, noise, (side + 8, side, 3))
        pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:03}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


def draw_product(
    side: int = 256,
    *,
    at: tuple[float, float] = (0.5, 0.5),
    size: float = 0.5,
    colour: tuple[int, int, int] = (176, 60, 48),
    ground: tuple[int, int, int] = (246, 246, 244),
    label: str = "RESTYLE 42",
) -> tuple[Tensor, Tensor]:
    """A box with a label and a fine weave before a plain ground: uint8 [3, side, side], and its mask [1, side, side].

    `at`: the box's middle, and `size`: its side, both as shares of the picture's.
    """
    image, mask = Image.new("RGB", (side, side), ground), Image.new("L", (side, side), 0)
    left, top, right, bottom = (round((at[axis] + way * size / 2) * side) for way in (-1, 1) for axis in (0, 1))
    box = (left, top, right - 1, bottom - 1)
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    pixels, inside = np.asarray(image).astype(np.int16), np.asarray(mask)
    rows, columns = np.indices((side, side))
    weave = (10 * np.sin(rows * 2.1) * np.sin(columns * 1.7) + rows * 24 / side).round().astype(np.int16)
    pixels = np.where(inside[..., None] > 0, pixels + weave[..., None], pixels)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if label:
        font = ImageFont.load_default(max(8, (right - left) // max(len(label), 1) * 3 // 2))
        middle = ((left + right) / 2, (top + bottom) / 2)
        ImageDraw.Draw(image).text(middle, label, fill=(250, 240, 220), font=font, anchor="mm")
    picture = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return picture, torch.from_numpy(inside.copy())[None]


def blurred(picture: Tensor, radius: float) -> Tensor:
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    return _tensor(image.filter(ImageFilter.GaussianBlur(radius)))


def noisy(picture: Tensor, deviation: float) -> Tensor:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(5)) * deviation
    return (picture + noise).round().clamp(0, 255).to(torch.uint8)


def graded(picture: Tensor) -> Tensor:
    """Warmer, brighter, with less contrast: other colours, and everything where it was."""
    gains, lifts = torch.tensor([0.82, 0.76, 0.62]), torch.tensor([36.0, 30.0, 24.0])
    return (picture * gains[:, None, None] + lifts[:, None, None]).round().clamp(0, 255).to(torch.uint8)


def only_inside(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    return torch.where(mask > 0, inside, outside)


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
