"""Draw one product: attributes in; picture, exact mask, depth and outlines out.

One ray per pixel finds the product; pixels that an outline or a crease crosses get nine more. Departures from
a path tracer, for speed: one bounce; mirrors show the lamps, not the neighbours; glass bends the backdrop
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from studio.backdrop import BACKDROPS
from studio.camera import Camera
from studio.fields import Floats
from studio.glass import through
from studio.hits import Hits, exposure_of, meet
from studio.lighting import Exposure, shade
from studio.outlines import outlines
from studio.product import Product
from studio.scene import Scene, prepare
from studio.surfaces import Spots
from studio.tracing import EXACT, HIT, STEPS, march

Places = NDArray[np.intp]
Number = TypeVar("Number", bound=np.generic)

BLOCK = 8  # px: the side of the cones that find the product before single rays do
FINE_PX = 320  # pictures with a longer side are drawn with all care; smaller ones are drawn by the thousand
START_BACK = 0.05  # model units before the nearest neighbour at which the rays of an edge pixel start
CREASE = 0.85  # cosine between the normals of neighbouring pixels below which there is an edge
CONTRAST = 0.08  # step of light between neighbours on glass that counts as an edge
SHORT_STEP = 0.3  # of a pixel: the shortest step of a ray in a small picture
SHORTEST_STEP = 0.010  # model units: yet shorter than the thinnest wall, which a ray must not step through
FEW_STEPS = 46  # of a ray in a small picture: the few that need more cost as much as all the others
SMALLEST_PX = 16  # below this there is nothing to see


@dataclass(frozen=True, slots=True)
class Rendering:
    """A drawn product. Where the mask is 0 the depth is infinite, and nowhere else."""

    pixels: NDArray[np.uint8]  # [H, W, 3], sRGB
    mask: NDArray[np.uint8]  # [H, W], how much of each pixel the product covers: 0 none, 255 all
    depth: Floats  # [H, W], from the camera's plane, in model units: a mug is about 1 high
    edges: NDArray[np.uint8]  # [H, W], lines of the shape: 0 none, 255 on a line


def render(product: Product, *, width: int, height: int) -> Rendering:
    """Draw a product. The same attributes and size give the same bytes on the same machine.

    Raises:
        ValueError: a side shorter than 16 px.

    """
    if min(width, height) < SMALLEST_PX:
        raise ValueError(f"a picture of {width}x{height} px was asked for; each side must be at least {SMALLEST_PX} px")
    scene = prepare(product, width, height)
    centres = _trace(scene)
    coverage = np.isfinite(centres.distance).astype(np.float32)
    depth = _depth(scene.camera, centres)
    canvas = scene.behind.copy()
    canvas[:, coverage > 0] = centres.light
    _smooth_edges(scene, (canvas, coverage, depth), centres, over_paper=product.background != "none")
    mask = np.rint(coverage * 255).astype(np.uint8)
    edges = np.where(mask > 0, outlines(centres.index, centres.hits, scene.camera.pixel), np.uint8(0))
    flat = BACKDROPS[product.background].flat
    return Rendering(_encoded(canvas, product.seed, flat=flat), mask, depth, edges)


@dataclass(frozen=True, slots=True)
class _Centres:
    """What the rays through the middles of the pixels found."""

    index: Places  # [H, W], which hit belongs to a pixel; -1 for none
    distance: Floats  # [H, W]
    hits: Hits
    exposure: Exposure
    light: Floats  # [3, N], toned


def _rays(camera: Camera, columns: NDArray[np.floating], rows: NDArray[np.floating]) -> Floats:
    return camera.rays(columns.astype(np.float32), rows.astype(np.float32))


def _trace(scene: Scene) -> _Centres:
    """Send a ray through the middle of every pixel, and light what they meet."""
    distance = _first_distances(scene)
    rows, columns = np.nonzero(np.isfinite(distance))
    rays = _rays(scene.camera, columns + 0.5, rows + 0.5)
    hits = meet(scene.parts, scene.camera.eye, rays, distance[rows, columns])
    exposure = exposure_of(scene, hits)
    index = np.full(distance.shape, -1, np.intp)
    index[rows, columns] = np.arange(rows.size)
    return _Centres(index, distance, hits, exposure, _toned(_light(scene, hits, exposure)))


def _first_distances(scene: Scene) -> Floats:
    """Distance [H, W] from the camera to the product through the middle of every pixel; infinite where it
    misses.
    """
    camera = scene.camera
    away = float(np.sqrt(((scene.centre - camera.eye) ** 2).sum()))
    near, far = away - scene.radius * 1.05, away + scene.radius * 1.05
    rows, columns = (np.arange(BLOCK / 2, size + BLOCK, BLOCK) for size in (camera.height, camera.width))
    grid_columns, grid_rows = (axis.ravel() for axis in np.meshgrid(columns, rows))
    spread = camera.pixel * BLOCK * 0.75  # half a block's diagonal, and some
    cones = _rays(camera, grid_columns, grid_rows)
    entry = np.full(cones.shape[1], near, np.float32)
    touched = march(scene.whole, camera.eye, cones, entry, far, spread=spread)
    # A cone stops where the surface may touch it; one more of its widths back is surely outside.
    start = (touched - np.float32(2 * spread * far)).reshape(rows.size, columns.size)
    each = start.repeat(BLOCK, 0).repeat(BLOCK, 1)[: camera.height, : camera.width]
    found = np.full(each.shape, np.inf, np.float32)
    at_rows, at_columns = np.nonzero(np.isfinite(each))
    rays = _rays(camera, at_columns + 0.5, at_rows + 0.5)
    starts, care = each[at_rows, at_columns], _care(scene)
    found[at_rows, at_columns] = march(
        scene.whole, camera.eye, rays, starts, far, touch=care.touch, least=care.least, steps=care.steps
    )
    return found


@dataclass(frozen=True, slots=True)
class _Care:
    """How carefully rays are sent: what is finer than a pixel shows is not worth its time."""

    subpixels: int  # rays of an edge pixel, no two in one row or column of as fine a grid
    touch: float  # distance that counts as touching
    exact: float  # the same where the outline is decided
    least: float  # the shortest step
    steps: int  # the most of them


def _care(scene: Scene) -> _Care:
    camera = scene.camera
    wider = FINE_PX / max(camera.width, camera.height)  # a pixel, as against that of the smallest fine picture
    if wider <= 1:
        return _Care(subpixels=9, touch=HIT, exact=EXACT, least=0.0, steps=STEPS)
    footprint = camera.pixel * float(np.linalg.norm(scene.centre - camera.eye))
    least = min(SHORT_STEP * footprint, SHORTEST_STEP)
    return _Care(subpixels=5, touch=HIT * wider, exact=EXACT * wider, least=least, steps=FEW_STEPS)


def _depth(camera: Camera, centres: _Centres) -> Floats:
    """Distance [H, W] from the camera's plane of what each pixel's middle shows; infinite for nothing."""
    depth = np.full(centres.index.shape, np.inf, np.float32)
    depth[centres.index >= 0] = camera.forward @ centres.hits.rays * centres.hits.distance
    return depth


def _light(scene: Scene, hits: Hits, exposure: Exposure) -> Floats:
    """Linear light [3, N] that each hit sends to the camera."""
    light = np.zeros_like(hits.points)
    footprint = scene.camera.pixel * float(np.mean(hits.distance)) if hits.distance.size else 0.0
    for number, part in enumerate(scene.parts):
        mine = np.flatnonzero(hits.part == number)
        if not mine.size:
            continue
        here = hits.chosen(mine)
        spots = Spots(points=here.points, normals=here.normals, footprint=footprint)
        seen = Exposure(lamp=exposure.lamp[mine], open=exposure.open[mine])
        light[:, mine] = shade(part.surface, spots, here.rays, scene.rig, seen)
        if part.surface.glass:
            light[:, mine] += through(scene, part.surface, here, spots, _light)
    return light


def _smooth_edges(scene: Scene, layers: tuple[Floats, Floats, Floats], centres: _Centres, *, over_paper: bool) -> None:
    """Redraw the pixels that an outline or a crease crosses from several rays each: canvas, coverage and
    depth, in place.
    """
    canvas, coverage, depth = layers
    clear = np.array([part.surface.glass for part in scene.parts] + [False])
    rows, columns = np.nonzero(_edges(centres, clear))
    drawn, covered, least = _supersampled(scene, centres, rows, columns)
    middle = depth[rows, columns]
    depth[rows, columns] = np.where(covered > 0, np.where(np.isfinite(middle), middle, least), np.inf)
    if over_paper:
        canvas[:, rows, columns] = drawn + scene.behind[:, rows, columns] * (1 - covered)
    else:  # a cut-out keeps the product's own colour under a partly clear pixel
        canvas[:, rows, columns] = np.where(covered > 0, drawn / np.maximum(covered, np.float32(0.01)), 1)
    coverage[rows, columns] = covered


def _supersampled(scene: Scene, centres: _Centres, rows: Places, columns: Places) -> tuple[Floats, Floats, Floats]:
    """Draw pixels from a grid of rays: (light times coverage [3, N], coverage [N], least depth [N])."""
    care = _care(scene)
    count = care.subpixels
    across = (np.arange(count) + 0.5) / count
    down = (2 * np.arange(count) % count + 0.5) / count
    rays = _rays(scene.camera, (columns[:, None] + across).ravel(), (rows[:, None] + down).ravel())
    start: Floats = _around(centres.distance, rows, columns, np.inf).min(0) - np.float32(START_BACK)
    far = float(np.linalg.norm(scene.centre - scene.camera.eye)) + scene.radius
    distance = march(
        scene.whole,
        scene.camera.eye,
        rays,
        start.repeat(count),
        far,
        touch=care.exact,
        least=care.least,
        steps=care.steps,
    )
    met = np.flatnonzero(np.isfinite(distance))
    hits = meet(scene.parts, scene.camera.eye, rays[:, met], distance[met])
    owners: Places = _around(centres.index, rows, columns, -1).repeat(count, 1)[:, met]
    light = np.zeros((3, distance.size), np.float32)
    light[:, met] = _toned(_light(scene, hits, _borrowed(centres, owners, hits)))
    covered = np.isfinite(distance).reshape(-1, count).mean(1, dtype=np.float32)
    depth = (scene.camera.forward @ rays * distance).reshape(-1, count).min(1)
    return light.reshape(3, -1, count).mean(2), covered, depth


def _edges(centres: _Centres, clear: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels [H, W] beside which the product, the part, the slope or what stands behind glass changes."""
    index, hits = centres.index, centres.hits
    part = np.append(hits.part, -1)[index]  # index -1 reads the appended entry: no product
    slopes = [np.append(axis, np.float32(0))[index] for axis in hits.normals]
    lights = [np.append(channel, np.float32(0))[index] for channel in centres.light] if clear.any() else []
    edge = np.zeros(index.shape, bool)
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1, :], np.s_[1:, :])):
        x, y, z = (axis[first] * axis[second] for axis in slopes)
        changes = (x + y + z < CREASE) & (part[first] >= 0)
        changes |= part[first] != part[second]
        for channel in lights:
            changes |= (np.abs(channel[first] - channel[second]) > CONTRAST) & clear[part[first]]
        edge[first] |= changes
        edge[second] |= changes
    return edge


def _around(values: NDArray[Number], rows: Places, columns: Places, outside: float) -> NDArray[Number]:
    """The nine values around each pixel, [9, N]."""
    padded = np.pad(values, 1, constant_values=outside)
    return np.stack([padded[rows + down, columns + across] for down in range(3) for across in range(3)])


def _borrowed(centres: _Centres, owners: Places, hits: Hits) -> Exposure:
    """Take shadow and openness from the nearest hit among the nine pixels around: both change slowly."""
    points = np.append(centres.hits.points, np.full((3, 1), 1e6, np.float32), axis=1)
    best = np.full(hits.part.size, -1, np.intp)
    least = np.full(hits.part.size, np.inf, np.float32)
    for candidates in owners:
        gap = ((points[:, candidates] - hits.points) ** 2).sum(0)
        closer = gap < least
        least, best = np.where(closer, gap, least), np.where(closer, candidates, best)
    exposure = centres.exposure
    return Exposure(lamp=np.append(exposure.lamp, 1)[best], open=np.append(exposure.open, 1)[best])


def _toned(light: Floats) -> Floats:
    """Compress highlights: straight to 0.6, then a shoulder that reaches white slowly."""
    above = np.maximum(light - np.float32(0.6), 0)
    return np.asarray(np.minimum(light, 0.6) + np.float32(0.4) * (1 - np.exp(-above / np.float32(0.4))))


def _encoded(canvas: Floats, seed: int, *, flat: bool) -> NDArray[np.uint8]:
    """Encode linear light [3, H, W] as sRGB bytes [H, W, 3]; a dither of half a step hides bands in the
    backdrop.
    """
    place = np.sqrt(np.clip(canvas, 0, 1)) * np.float32(CURVE.size - 1)
    encoded = CURVE.take(np.rint(place).astype(np.intp))
    if not flat:
        encoded += np.random.default_rng(seed).random(encoded.shape[1:], np.float32) - np.float32(0.5)
    return np.rint(np.clip(encoded, 0, 255)).astype(np.uint8).transpose(1, 2, 0).copy()


def _curve() -> Floats:
    """The sRGB curve times 255, tabled over the root of the light so that dark tones get their share of
    entries.
    """
    light = np.linspace(0, 1, 4096) ** 2
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(encoded * 255, np.float32)


CURVE = _curve()
