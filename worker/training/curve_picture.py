"""Draws a learning curve as an SVG: the loss above, each held-out figure below, over the iterations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, PANEL, LEFT, TOP = 720, 170, 64, 26
POINTS = 400  # of a line: more are not seen
RAW = ("iteration", "rate")  # members of a line that get no panel

Point = tuple[float, float]


def draw_curve(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of a curve's lines. The loss is averaged over neighbours, its panel is logarithmic."""
    names = list(dict.fromkeys(name for line in lines for name in line if name not in RAW))
    last = max(lines[-1]["iteration"], 1)
    panels = []
    for number, name in enumerate(names):
        points = [(line["iteration"], line[name]) for line in lines if name in line]
        panels.append(_panel(name, _thinned(points), last, number * PANEL))
    height = len(names) * PANEL + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Average runs of neighbours, so that at most so many points are left."""
    size = math.ceil(len(points) / POINTS)
    runs = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def _panel(name: str, points: Sequence[Point], last: int, offset: int) -> str:
    values = [_scaled(name, value) for _, value in points]
    low, high = min(values), max(values)
    span = high - low or 1.0
    bottom, inner = offset + PANEL - 24, PANEL - TOP - 24
    places = " ".join(
        f"{LEFT + (WIDTH - LEFT - 16) * x / last:.1f},{bottom - inner * (value - low) / span:.1f}"
        for (x, _), value in zip(points, values, strict=True)
    )
    return "\n".join(
        [
            f'<text x="{LEFT}" y="{offset + 16}" font-weight="bold">{escape(name)}</text>',
            f'<path d="M{LEFT} {offset + TOP}V{bottom}H{WIDTH - 16}" fill="none" stroke="#999"/>',
            *_labels(name, low, high, offset, bottom, last),
            f'<polyline points="{places}" fill="none" stroke="#1660b8" stroke-width="1.5"/>',
        ]
    )


def _labels(name: str, low: float, high: float, offset: int, bottom: int, last: int) -> Iterator[str]:
    for y, value in ((offset + TOP + 8, high), (bottom, low)):
        shown = math.exp(value) if name == "loss" else value
        yield f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" fill="#555">{shown:.4g}</text>'
    yield f'<text x="{WIDTH - 16}" y="{bottom + 14}" text-anchor="end" fill="#555">iteration {last}</text>'


def _scaled(name: str, value: float) -> float:
    return math.log(max(value, 1e-9)) if name == "loss" else value
