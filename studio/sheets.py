"""Contact prints: what each word of the vocabulary looks like, on sheets to look at."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio.choices import FORMS
from studio.product import (
    BackgroundName,
    Colour,
    Kind,
    LightName,
    Pattern,
    Product,
    Proportions,
    Season,
    View,
)
from studio.render import Rendering, render
from studio.sampling import sample

SIDE = 96  # px of a print


def write_sheets(folder: Path) -> None:
    """Write `kinds.webp` (a row of prints of each kind) and `layers.webp` (picture, mask, depth and edges),
    and `words.webp` (one product under one changed word after another).
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder / "kinds.webp", [[_print(sample(number, seed=7)).pixels for number in _numbers(kind)] for kind in FORMS]
    )
    drawn = [_print(sample(number, seed=3)) for number in range(len(FORMS))]
    _write(folder / "layers.webp", [[_grey(layer) for layer in _layers(each)] for each in drawn])
    _write(folder / "words.webp", [[_print(each).pixels for each in line] for line in _words()])


def _numbers(kind: Kind) -> range:
    """Numbers of the first eight products of a kind: every set holds the kinds in turn."""
    start = get_args(Kind).index(kind)
    return range(start, start + 8 * len(get_args(Kind)), len(get_args(Kind)))


def _print(product: Product) -> Rendering:
    return render(product, width=SIDE, height=SIDE)


def _layers(drawn: Rendering) -> tuple[NDArray[np.uint8], ...]:
    depth = drawn.depth
    there = np.isfinite(depth)
    near, far = depth[there].min(), depth[there].max()
    shown = np.zeros(depth.shape, np.uint8)
    shown[there] = 255 - 200 * (depth[there] - near) / max(far - near, 1e-6)
    return drawn.pixels, drawn.mask, shown, 255 - drawn.edges


def _grey(layer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return layer if layer.ndim == 3 else np.repeat(layer[:, :, None], 3, axis=2)


COLOURS: tuple[Colour, ...] = ("terracotta", "mustard", "sage", "navy", "lavender", "white", "black", "coral")
PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "dots", "band", "speckled", "checks")
PLACES: tuple[tuple[float, float], ...] = ((0, 12), (-35, 14), (35, 14), (0, 42))  # azimuth and elevation


def _words() -> list[list[Product]]:
    """Eight mugs a line: colours, patterns and materials, proportions and views, light and paper, seasons."""
    view = View(azimuth=-10, fill=0.74)
    mug = Product(kind="mug", colour="teal", material="ceramic", second="cream", view=view, seed=4)
    dark = replace(mug, background="slate")
    materials = [replace(mug, colour="brass", material="metal"), replace(mug, colour="sky", material="glass")]
    stretched = [replace(mug, pattern="stripes", proportions=word) for word in get_args(Proportions)]
    turned = [replace(mug, view=View(azimuth=a, elevation=e, fill=0.74)) for a, e in PLACES]
    papers: tuple[BackgroundName, ...] = ("white", "sky", "butter")
    return [
        [replace(mug, colour=word) for word in COLOURS],
        [*(replace(mug, pattern=word) for word in PATTERNS), *materials],
        [*stretched, *turned, dark],
        [*(replace(mug, light=word) for word in get_args(LightName)), *(replace(mug, background=w) for w in papers)],
        [*(replace(mug, season=word) for word in get_args(Season)), *_seasons_of(dark)],
    ]


def _seasons_of(product: Product) -> list[Product]:
    seasons: tuple[Season, ...] = ("spring", "autumn", "winter")
    return [replace(product, season=season) for season in seasons]


def _write(path: Path, rows: list[list[NDArray[np.uint8]]]) -> None:
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=84, method=6)
    path.write_bytes(buffer.getvalue())
