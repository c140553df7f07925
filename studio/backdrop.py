"""Seamless paper: a floor that rises into a wall, with a pool of light, and the product's shadow on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from studio.camera import Camera
from studio.fields import Field, Floats, Vector, vector
from studio.lighting import Rig
from studio.product import BackgroundName
from studio.surfaces import linear, ramp
from studio.tracing import GROUND_TAPS, lamp_share, openness

SHADOW_SCALE = 2  # the ground is lit at half size: its shadows are soft


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """Paper of one colour. Flat paper is lit to pure white, as shops ask for."""

    colour: Vector  # linear
    flat: bool = False
    shadow: float = 0.8  # depth of the shadow, 0 none


BACKDROPS: dict[BackgroundName, Backdrop] = {
    "white": Backdrop(colour=(1.0, 1.0, 1.0), flat=True, shadow=0.42),
    "none": Backdrop(colour=(1.0, 1.0, 1.0), flat=True, shadow=0.0),  # a cut-out: only the product is drawn
    "linen": Backdrop(colour=linear("#e9e1d4")),
    "grey": Backdrop(colour=linear("#c9ccd0")),
    "sage": Backdrop(colour=linear("#b9c7b0")),
    "blush": Backdrop(colour=linear("#eac8bd")),
    "sky": Backdrop(colour=linear("#b5cfdf")),
    "sand": Backdrop(colour=linear("#dcc3a0")),
    "slate": Backdrop(colour=linear("#5d6873")),
    "butter": Backdrop(colour=linear("#f0dca4")),
    "lilac": Backdrop(colour=linear("#cdc3dd")),
}


def paper(backdrop: Backdrop, camera: Camera) -> Floats:
    """The empty backdrop as the camera sees it: [3, H, W], linear, display-referred (1 is white)."""
    rows = (np.arange(camera.height, dtype=np.float32) + 0.5)[:, None]
    columns = (np.arange(camera.width, dtype=np.float32) + 0.5)[None, :]
    shape = (3, camera.height, camera.width)
    if backdrop.flat:
        return np.broadcast_to(vector(backdrop.colour)[:, :, None], shape).astype(np.float32)
    size = max(camera.width, camera.height)
    across: Floats = (columns - np.float32(camera.width / 2)) / np.float32(size)
    up: Floats = (np.float32(camera.height / 2) - rows) / np.float32(size)
    # The horizon of a seamless roll is a wide, soft ramp behind the product, not a line.
    wall = ramp(0.10, up, 0.62)
    pool = np.exp(-((across / 0.50) ** 2) - ((up + 0.28) / 0.36) ** 2)
    halo = np.exp(-((across / 0.52) ** 2) - ((up - 0.06) / 0.46) ** 2)
    floor_light = 0.86 + 0.20 * pool
    wall_light = 0.56 + 0.44 * halo
    level = (floor_light * (1 - wall) + wall_light * wall).astype(np.float32)
    return np.asarray(vector(backdrop.colour)[:, :, None] * level, np.float32)


def shadow(field: Field, camera: Camera, rig: Rig, centre: Floats, radius: float) -> tuple[Floats, Floats]:
    """How the product darkens the ground: (share of the key lamp seen, ambient openness), each [H, W]."""
    width, height = -(-camera.width // SHADOW_SCALE), -(-camera.height // SHADOW_SCALE)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) * SHADOW_SCALE + SHADOW_SCALE / 2
    rays = camera.rays(columns.ravel(), rows.ravel())
    distance = -camera.eye[1] / np.minimum(rays[1], -1e-4)
    points = camera.eye[:, None] + rays * distance
    points[1] = 0.0
    offset = points - centre[:, None]
    ahead = offset.T @ rig.lamp
    off_axis = np.sqrt(np.maximum((offset * offset).sum(0) - ahead * ahead, 0))
    reached = (off_axis < radius * (1 + rig.light.size) + np.abs(ahead) * rig.light.size) & (rays[1] < -1e-3)
    lamp, free = np.ones(width * height, np.float32), np.ones(width * height, np.float32)
    inside = np.flatnonzero(reached & (ahead < radius))
    lamp[inside] = lamp_share(field, points[:, inside], rig.lamp, size=rig.light.size, reach=4 * radius)
    close = np.flatnonzero((offset * offset).sum(0) < (2.2 * radius) ** 2)
    up = np.broadcast_to(np.array([[0], [1], [0]], np.float32), (3, close.size))
    free[close] = openness(field, points[:, close], up, 0.6, GROUND_TAPS)
    return _enlarge(lamp, width, height, camera), _enlarge(free, width, height, camera)


def _enlarge(values: Floats, width: int, height: int, camera: Camera) -> Floats:
    small = Image.fromarray(values.reshape(height, width))
    whole = small.resize((width * SHADOW_SCALE, height * SHADOW_SCALE), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(whole, np.float32)[: camera.height, : camera.width], 0, 1)


def darkened(paper: Floats, backdrop: Backdrop, lamp: Floats, free: Floats) -> Floats:
    """Put the shadow onto the paper. What the lamp does not reach keeps the cooler light of the room."""
    depth = np.float32(backdrop.shadow)
    from_lamp = (1 - lamp) * depth * np.array([0.60, 0.585, 0.56], np.float32)[:, None, None]
    from_room = (1 - free) * depth * np.float32(0.62)
    return np.asarray(paper * (1 - from_lamp) * (1 - from_room), np.float32)
