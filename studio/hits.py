"""Where rays met the product: which part, which way the surface faces, how much light gets there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.fields import Floats
from studio.lighting import Exposure
from studio.scene import Scene
from studio.surfaces import Part, noise
from studio.tracing import CHUNK, lamp_share, normals, openness

AMBIENT_REACH = 0.32  # model units within which neighbours close a point off


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """Rays that met the product, as columns."""

    rays: Floats  # [3, N], unit
    distance: Floats  # [N]
    points: Floats  # [3, N]
    part: NDArray[np.intp]  # [N]
    normals: Floats  # [3, N], unit, roughened by the material's grain
    slopes: Floats  # [3, N], unit, of the shape itself

    def chosen(self, which: NDArray[np.intp]) -> Hits:
        return Hits(
            rays=self.rays[:, which],
            distance=self.distance[which],
            points=self.points[:, which],
            part=self.part[which],
            normals=self.normals[:, which],
            slopes=self.slopes[:, which],
        )


def meet(parts: tuple[Part, ...], origin: Floats, rays: Floats, distance: Floats) -> Hits:
    """Say what rays [3, N] from `origin` met at these distances [N]."""
    points = origin[:, None] + rays * distance
    part = np.zeros(distance.size, np.intp)
    slopes = np.empty_like(points)
    facing = slopes if not any(each.surface.grain for each in parts) else np.empty_like(points)
    for start in range(0, distance.size, CHUNK):
        chunk = slice(start, start + CHUNK)
        if len(parts) > 1:
            part[chunk] = np.argmin(np.stack([p.field(points[:, chunk]) for p in parts]), axis=0)
    for number, each in enumerate(parts):
        mine = np.flatnonzero(part == number)
        for start in range(0, mine.size, CHUNK):
            chosen = mine[start : start + CHUNK]
            slopes[:, chosen] = normals(each.field, points[:, chosen])
            if facing is not slopes:
                facing[:, chosen] = _roughened(each, points[:, chosen], slopes[:, chosen])
    return Hits(rays=rays, distance=distance, points=points, part=part, normals=facing, slopes=slopes)


def _roughened(part: Part, points: Floats, ways: Floats) -> Floats:
    if not part.surface.grain:
        return ways
    size, strength = part.surface.grain_size, np.float32(part.surface.grain)
    rough = np.stack([noise(points, size, seed) for seed in (71, 72, 73)]) - np.float32(0.5)
    ways = ways + rough * strength
    return np.asarray(ways / np.sqrt((ways * ways).sum(0)))


def exposure_of(scene: Scene, hits: Hits) -> Exposure:
    """Trace what stands between each hit and the lamps. Glass casts no shadow on the product itself."""
    blocking = scene.solid or scene.whole
    lamp = np.zeros(hits.part.size, np.float32)
    lit = np.flatnonzero(scene.rig.lamp @ hits.normals > -0.1)
    lifted = hits.points[:, lit] + hits.normals[:, lit] * np.float32(0.008)
    size, reach = scene.rig.light.size, 2 * scene.radius
    lamp[lit] = lamp_share(blocking, lifted, scene.rig.lamp, size=size, reach=reach)
    free = openness(blocking, hits.points, hits.normals, AMBIENT_REACH)
    # The ground closes off what faces it from close by: the dark line that makes a product stand rather than
    # float.
    low = np.clip(1 - hits.points[1] / np.float32(0.22), 0, 1)
    under = np.clip(np.float32(0.45) - np.float32(0.75) * hits.normals[1], 0, 1)
    return Exposure(lamp=lamp, open=free * (1 - np.float32(0.75) * low * low * under))
