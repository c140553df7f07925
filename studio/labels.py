"""Printed artwork: a mark, a brand word in our own stroke letters, and lines of small print, for labels
and covers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from studio.fields import Floats, Vector
from studio.surfaces import Measure, Paint, Spots

SCALE = 3  # artwork is drawn this much larger and reduced, which smooths its edges
INK_WIDTH = 0.17  # of a letter's height

# Strokes of capital letters on a square of 1 (x right, y down).
_ROUND = [(0.5 + 0.5 * float(np.cos(a)), 0.5 + 0.5 * float(np.sin(a))) for a in np.linspace(0, 2 * np.pi, 25)]
LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 1), (0.45, 0), (0.9, 1)], [(0.17, 0.64), (0.73, 0.64)]],
    "E": [[(0.7, 0), (0, 0), (0, 1), (0.7, 1)], [(0, 0.5), (0.6, 0.5)]],
    "F": [[(0.7, 0), (0, 0), (0, 1)], [(0, 0.5), (0.6, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(0.8, 0), (0.8, 1)], [(0, 0.5), (0.8, 0.5)]],
    "I": [[(0.1, 0), (0.1, 1)]],
    "K": [[(0, 0), (0, 1)], [(0.75, 0), (0, 0.58)], [(0.25, 0.4), (0.8, 1)]],
    "L": [[(0, 0), (0, 1), (0.65, 1)]],
    "M": [[(0, 1), (0, 0), (0.5, 0.7), (1, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (0.8, 1), (0.8, 0)]],
    "O": [_ROUND],
    "T": [[(0, 0), (0.8, 0)], [(0.4, 0), (0.4, 1)]],
    "V": [[(0, 0), (0.45, 1), (0.9, 0)]],
    "Y": [[(0, 0), (0.42, 0.5), (0.84, 0)], [(0.42, 0.5), (0.42, 1)]],
}
MARKS = ("hills", "leaf", "waves", "arches")
WORDS = ("ALTO", "NOVA", "OLIO", "HAVEN", "LINEA", "KITE", "FOLIO", "MELLO", "TONAL", "HAY")


@lru_cache(maxsize=32)
def artwork(aspect: float, paper: Vector, ink: Vector, accent: Vector, seed: int) -> Floats:
    """Draw a label [H, W, 3], linear, 320 px wide; `aspect` is height over width. The seed picks word and
    mark.
    """
    width = 320 * SCALE
    height = round(width * aspect)
    sheet = Image.new("L", (width, height), 0)
    marks = Image.new("L", (width, height), 0)
    rng = np.random.default_rng(seed)
    unit = min(width, height * 0.8) / 10
    middle = width / 2
    draw_mark(ImageDraw.Draw(marks), int(rng.integers(len(MARKS))), middle, height / 2 - 1.7 * unit, 1.9 * unit)
    pen = ImageDraw.Draw(sheet)
    draw_word(pen, WORDS[int(rng.integers(len(WORDS)))], middle, height / 2 + 1.3 * unit, 1.25 * unit)
    for line, share in enumerate((3.2, 2.2)):
        top = height / 2 + (3.5 + 0.75 * line) * unit
        pen.rounded_rectangle((middle - share * unit, top, middle + share * unit, top + unit * 0.24), unit * 0.12, 255)
    inked, marked = (_reduced(layer) for layer in (sheet, marks))
    base = np.broadcast_to(np.array(paper, np.float32), (*inked.shape[:2], 3))
    base = base + (np.array(accent, np.float32) - base) * marked
    return np.asarray(base + (np.array(ink, np.float32) - base) * inked, np.float32)


def _reduced(layer: Image.Image) -> Floats:
    small = layer.resize((layer.width // SCALE, layer.height // SCALE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)[:, :, None] / np.float32(255)


def draw_mark(pen: ImageDraw.ImageDraw, which: int, x: float, y: float, size: float) -> None:
    """Draw one of `MARKS` about (x, y)."""
    stroke = round(size * 0.13)
    if which == 0:
        pen.ellipse((x - size * 0.55, y - size, x + size * 0.55, y + size * 0.1), fill=255)
        pen.polygon(
            [(x - size * 1.5, y + size), (x - size * 0.5, y - size * 0.25), (x + size * 0.5, y + size)],
            fill=255,
        )
        pen.polygon(
            [(x - size * 0.1, y + size), (x + size * 0.7, y + size * 0.05), (x + size * 1.5, y + size)],
            fill=255,
        )
    elif which == 1:
        bend = np.linspace(0, np.pi, 20)
        right = [(x + float(np.sin(a)) * size * 0.62, y - float(np.cos(a)) * size) for a in bend]
        left = [(x - float(np.sin(a)) * size * 0.62, y - float(np.cos(a)) * size) for a in bend[::-1]]
        pen.polygon(right + left, fill=255)
        pen.line([(x, y - size * 0.5), (x, y + size * 1.3)], fill=0, width=stroke)
    elif which == 2:
        across = np.linspace(-1.4, 1.4, 50)
        for row in (-0.6, 0.0, 0.6):
            wave = [(x + float(a) * size, y + size * (row + 0.2 * float(np.sin(a * 4.5)))) for a in across]
            pen.line(wave, fill=255, width=round(stroke * 1.5), joint="curve")
    else:
        for share in (1.0, 0.66, 0.32):
            reach = size * share
            pen.arc((x - reach, y - reach * 0.6, x + reach, y + reach * 1.4), 180, 360, fill=255, width=stroke)
            pen.line([(x - reach + stroke / 2, y + reach * 0.4), (x - reach + stroke / 2, y + size)], 255, stroke)
            pen.line([(x + reach - stroke / 2, y + reach * 0.4), (x + reach - stroke / 2, y + size)], 255, stroke)


def draw_word(pen: ImageDraw.ImageDraw, word: str, x: float, y: float, size: float) -> None:
    """Write a word centred on x, its top at y."""
    widths = [max(px for stroke in LETTERS[letter] for px, _ in stroke) + 0.42 for letter in word]
    left = x - (sum(widths) - 0.42) * size / 2
    for letter, width in zip(word, widths, strict=True):
        for stroke in LETTERS[letter]:
            points = [(left + px * size, y + py * size) for px, py in stroke]
            pen.line(points, fill=255, width=round(size * INK_WIDTH), joint="curve")
            for px, py in (points[0], points[-1]):
                half = size * INK_WIDTH / 2
                pen.ellipse((px - half, py - half, px + half, py + half), fill=255)
        left += width * size


def printed(art: Floats, across: Measure, up: Measure) -> Paint:
    """Paint with artwork; `across` and `up` run from 0 to 1 over it, and its border repeats beyond."""
    rows, columns = art.shape[:2]
    flat = np.ascontiguousarray(art.reshape(-1, 3).T)

    def paint(spots: Spots) -> Floats:
        u = np.clip(across(spots) * columns - 0.5, 0, columns - 1.001)
        v = np.clip((1 - up(spots)) * rows - 0.5, 0, rows - 1.001)
        column, row = u.astype(np.intp), v.astype(np.intp)
        share_u, share_v = (u - column).astype(np.float32), (v - row).astype(np.float32)
        at = row * columns + column
        upper = flat[:, at] + (flat[:, at + 1] - flat[:, at]) * share_u
        lower = flat[:, at + columns] + (flat[:, at + columns + 1] - flat[:, at + columns]) * share_u
        return np.asarray(upper + (lower - upper) * share_v, np.float32)

    return paint
