"""Where the picture is taken from: frames a product and turns pixels into rays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as corners_of

import numpy as np

from studio.fields import Floats

# Degrees, of the picture's longer side: a portrait lens, which keeps a product's upright lines upright.
HALF_ANGLE = 11.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera. Rays are unit vectors from `eye`."""

    eye: Floats  # [3]
    forward: Floats  # [3]
    right: Floats  # [3]
    up: Floats  # [3]
    width: int
    height: int
    pixel: float  # width of a pixel at distance 1

    def rays(self, columns: Floats, rows: Floats) -> Floats:
        """Directions [3, N] through picture positions; (0, 0) is the upper left corner of the first pixel."""
        across = (columns - np.float32(self.width / 2)) * np.float32(self.pixel)
        down = (rows - np.float32(self.height / 2)) * np.float32(self.pixel)
        directions = self.forward[:, None] + self.right[:, None] * across - self.up[:, None] * down
        return np.asarray(directions / np.sqrt(1 + across * across + down * down))


def look(azimuth: float, elevation: float) -> tuple[Floats, Floats, Floats]:
    """Unit vectors (forward, right, up) of a camera that stands `azimuth` degrees to the right and looks
    down.
    """
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    forward = np.array([-np.sin(a) * np.cos(e), -np.sin(e), -np.cos(a) * np.cos(e)], np.float32)
    right = np.array([np.cos(a), 0.0, -np.sin(a)], np.float32)
    return forward, right, np.cross(right, forward).astype(np.float32)


def frame(
    bounds: tuple[Floats, Floats],  # lower and upper corner of the product, each [3]
    *,
    azimuth: float,  # degrees to the right of the front
    elevation: float,  # degrees above the ground
    width: int,
    height: int,
    fill: float,  # share of the picture's nearer side that the product spans
) -> Camera:
    """Stand back until the product spans `fill` of the picture, a little below its middle."""
    forward, right, up = look(azimuth, elevation)
    pixel = float(np.tan(np.deg2rad(HALF_ANGLE)) * 2 / max(width, height))
    centre = (bounds[0] + bounds[1]) / 2
    corners = np.array(list(corners_of(*zip(*bounds, strict=True))), np.float32) - centre
    room = np.array([width, height]) * (pixel / 2 * fill)
    near = corners @ forward
    needed = np.maximum(np.abs(corners @ right) / room[0], np.abs(corners @ up) / room[1]) - near
    distance = float(needed.max())
    lift = 0.02 * distance * pixel * height  # room for the shadow: the product sits slightly high
    eye = centre - forward * np.float32(distance) - up * np.float32(lift)
    return Camera(
        eye=eye.astype(np.float32),
        forward=forward,
        right=right,
        up=up,
        width=width,
        height=height,
        pixel=pixel,
    )
