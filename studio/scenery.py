"""A landscape at golden hour, drawn as layers of haze: warm light, teal shadows. It serves as a sample
style.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.fields import Floats
from studio.surfaces import linear, ramp

SUN = (0.64, 0.42)  # across and down, shares of the picture's width and height
SHORE = 0.66  # where the water begins, share of the height
RIDGES = 6


def golden_hour(*, width: int, height: int, seed: int = 7) -> NDArray[np.uint8]:
    """Draw the scene as sRGB bytes [height, width, 3]. The same arguments give the same bytes on one
    machine.
    """
    rows: Floats = ((np.arange(height) + 0.5) / height).astype(np.float32)[:, None]
    columns: Floats = ((np.arange(width) + 0.5) / width).astype(np.float32)[None, :]
    rng = np.random.default_rng(seed)
    phases = rng.random((RIDGES, 7), np.float32) * np.float32(2 * np.pi)
    land = _landscape(rows, columns, width / height, phases)
    scene = land + (_lake(rows, columns, width / height, phases) - land) * ramp(SHORE, rows, 0.004)
    corners = (columns - np.float32(0.5)) ** 2 + (rows - np.float32(0.5)) ** 2
    return _bytes(scene * (1 - np.float32(0.55) * corners), rng)


def _lake(rows: Floats, columns: Floats, aspect: float, phases: Floats) -> Floats:
    """Water [3, H, W]: the land upside down, squeezed, shaken by waves that grow towards the viewer."""
    depth: Floats = np.clip((rows - np.float32(SHORE)) / np.float32(1 - SHORE), 0, 1)
    shake: Floats = _waves(columns, depth, phases[0]) * (np.float32(0.004) + np.float32(0.03) * depth)
    mirrored_rows: Floats = np.float32(SHORE) - (rows - np.float32(SHORE)) * np.float32(1.25) + shake
    mirrored = _landscape(mirrored_rows, columns + shake * np.float32(0.4), aspect, phases)
    swallowed = np.array([0.88, 0.62, 0.50], np.float32)[:, None, None]  # water takes red first
    water = mirrored * (0.72 - 0.68 * swallowed * np.sqrt(depth)) + _colour("#0b5f6c") * (0.20 + 0.30 * depth)
    path = np.exp(-(((columns - SUN[0]) / (0.035 + 0.10 * depth)) ** 2))
    glitter = ramp(0.55, _waves(columns * np.float32(1.7), depth, phases[1]), 0.5) * path
    return np.asarray(water + _colour("#ffb45e") * (glitter * (1 - 0.55 * depth) * 0.85), np.float32)


def _colour(name: str) -> Floats:
    return np.array(linear(name), np.float32)[:, None, None]


def _landscape(rows: Floats, columns: Floats, aspect: float, phases: Floats) -> Floats:
    """Sky, sun and ridges [3, H, W], linear."""
    away = np.sqrt(((columns - SUN[0]) * aspect) ** 2 + (rows - SUN[1]) ** 2)
    share = np.clip(rows / 0.62, 0, 1)
    sky = _colour("#1f7f92") * (1.1 * (1 - share) ** 1.2) + _colour("#f2a65a") * share**1.1
    sky = (
        sky
        + _colour("#ff9a3c") * (0.55 * np.exp(-away * 3.2))
        + _colour("#ffd9a0") * (0.9 * np.exp(-((away / 0.11) ** 2)))
    )
    clouds = _streaks(rows, columns, phases[2]) * np.exp(-(((rows - 0.2) / 0.16) ** 2))
    sky = sky + _colour("#ff8f5a") * (0.45 * clouds * (0.35 + np.exp(-away * 1.6)))
    scene = sky + _colour("#fff1cf") * (2.2 * ramp(-0.052, -away, 0.006))
    for number in range(RIDGES):
        nearness = number / (RIDGES - 1)
        crest = _crest(columns * aspect, number, nearness, phases[number])
        haze = (1 - nearness) ** 1.9
        shadow = _colour("#0c6673") * (0.24 + 0.95 * (1 - nearness))
        body = shadow * (1 - haze) + _colour("#ef9f5c") * haze * 0.80
        below = np.clip((rows - crest) / 0.12, 0, 1)
        lit = np.exp(-away * (2.2 + 2.0 * nearness))
        body = (
            body
            + _colour("#ff9d4a") * (lit * (0.62 - 0.40 * nearness) * (1 - below))
            + _colour("#3f9a9c") * (0.22 * below * (1 - haze))
        )
        scene = scene + (body - scene) * ramp(0.0, rows - crest, 0.003)
    return np.asarray(scene, np.float32)


def _crest(columns: Floats, number: int, nearness: float, phase: Floats) -> Floats:
    """Height of a ridge's skyline, as a share of the picture from the top."""
    waves = sum(
        np.sin(columns * (1.7 * 2.1**octave + 0.6 * number) + phase[octave]) * 0.5**octave for octave in range(6)
    )
    side = np.cos(columns * 1.1 + phase[6]) * 0.02
    return np.asarray(
        0.45 + 0.21 * nearness**1.2 - (0.020 + 0.022 * (1 - nearness)) * waves + side * nearness, np.float32
    )


def _waves(columns: Floats, depth: Floats, phase: Floats) -> Floats:
    near = 1 / (0.06 + depth)
    return np.asarray(
        0.5 * np.sin(near * 9.0 + columns * 14 + phase[0])
        + 0.3 * np.sin(near * 15.0 - columns * 31 + phase[1])
        + 0.3 * np.sin(near * 5.0 + columns * 53 * (0.4 + depth) + phase[2]),
        np.float32,
    )


def _streaks(rows: Floats, columns: Floats, phase: Floats) -> Floats:
    tilt = rows + 0.05 * columns
    bands = np.sin(tilt * 38 + 1.6 * np.sin(columns * 5 + phase[0]) + phase[1]) + 0.6 * np.sin(
        tilt * 71 + columns * 6 + phase[2]
    )
    return np.asarray(ramp(0.55, bands, 1.3), np.float32)


def _bytes(scene: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    toned = 1 - np.exp(-np.clip(scene, 0, None) * 1.35)
    encoded = np.clip(toned, 0, 1) ** (1 / 2.2) * 255 + (rng.random(scene.shape[1:], np.float32) - 0.5)
    return np.asarray(np.rint(np.clip(encoded, 0, 255)).astype(np.uint8).transpose(1, 2, 0).copy())
