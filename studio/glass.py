"""What clear parts let through: the parts behind them, else the backdrop, bent and tinted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from studio.fields import Floats
from studio.hits import Hits, exposure_of, meet
from studio.lighting import Exposure
from studio.scene import Scene
from studio.surfaces import Spots, Surface
from studio.tracing import march

BEND = 0.09  # how far, in picture heights, a surface seen edge-on shifts what is behind it; chosen by eye

Light = Callable[[Scene, Hits, Exposure], Floats]


def through(scene: Scene, surface: Surface, here: Hits, spots: Spots, light: Light) -> Floats:
    """Light [3, N] that passes through a glass surface towards the camera."""
    facing = np.clip(-(here.rays * here.normals).sum(0), 0.0, 1)
    behind = _backdrop(scene, here, facing)
    if scene.solid is not None:
        start = here.distance + np.float32(0.004)
        far = float(np.linalg.norm(scene.centre - scene.camera.eye)) + scene.radius
        distance = march(scene.solid, scene.camera.eye, here.rays, start, far)
        met = np.flatnonzero(np.isfinite(distance))
        solids = tuple(part for part in scene.parts if not part.surface.glass)
        numbers = np.array([number for number, part in enumerate(scene.parts) if not part.surface.glass])
        inner = meet(solids, scene.camera.eye, here.rays[:, met], distance[met])
        inner = Hits(
            rays=inner.rays,
            distance=inner.distance,
            points=inner.points,
            part=numbers[inner.part],
            normals=inner.normals,
            slopes=inner.slopes,
        )
        behind[:, met] = light(scene, inner, exposure_of(scene, inner))
    # The longer the way through the wall, the more of the tint is taken: Beer's law on 1 / cos.
    way = np.minimum(1 / (facing + np.float32(0.16)), 5)
    return np.asarray(behind * np.maximum(surface.paint(spots), 1e-3) ** way)


def _backdrop(scene: Scene, here: Hits, facing: Floats) -> Floats:
    """The backdrop as a curved wall shows it: shifted towards the side that the surface leans to."""
    camera = scene.camera
    depth = camera.forward @ here.rays * np.float32(camera.pixel)
    bend = np.float32(BEND * camera.height) * (1 - facing)
    columns = (camera.right @ here.rays) / depth + camera.width / 2 - (camera.right @ here.normals) * bend
    rows = camera.height / 2 - (camera.up @ here.rays) / depth + (camera.up @ here.normals) * bend
    column = np.clip(columns, 0, camera.width - 1).astype(np.intp)
    row = np.clip(rows, 0, camera.height - 1).astype(np.intp)
    return scene.behind[:, row, column]
