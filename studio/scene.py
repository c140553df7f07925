"""One product set up to be photographed: its parts, the camera, the lamps and the backdrop with its
shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.backdrop import BACKDROPS, darkened, paper, shadow
from studio.camera import Camera, frame
from studio.fields import Field, Floats, joined
from studio.kinds import build
from studio.lighting import LIGHTS, Rig, rig
from studio.product import Product
from studio.proportions import proportioned
from studio.seasons import decorated, seasonal
from studio.surfaces import Part

GLASS_OPENNESS = 0.6  # share of the light that glass lets onto the ground, chosen by eye


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that stands in the studio for one picture."""

    parts: tuple[Part, ...]
    camera: Camera
    rig: Rig
    whole: Field  # all parts
    solid: Field | None  # the parts that are not glass, if there are any
    centre: Floats  # of the bounding ball, [3]
    radius: float
    behind: Floats  # the backdrop with the shadow on it, [3, H, W], display-referred linear


def prepare(product: Product, width: int, height: int) -> Scene:
    """Build the product and place camera, lamps and paper around it."""
    subject = proportioned(build(product), product.proportions)
    backdrop, view = BACKDROPS[product.background], product.view
    camera = frame(
        subject.bounds,
        azimuth=view.azimuth,
        elevation=view.elevation,
        width=width,
        height=height,
        fill=view.fill,
    )
    lower, upper = subject.bounds
    solid = [part.field for part in subject.parts if not part.surface.glass]
    scene = Scene(
        parts=subject.parts,
        camera=camera,
        rig=rig(seasonal(LIGHTS[product.light], product.season), azimuth=view.azimuth, ground=backdrop.colour),
        whole=joined(*(part.field for part in subject.parts)),
        solid=joined(*solid) if solid else None,
        centre=(lower + upper) * np.float32(0.5),
        radius=float(np.sqrt(((upper - lower) ** 2).sum())) / 2,
        behind=_behind(product, camera),
    )
    if backdrop.shadow:
        scene.behind[:] = darkened(scene.behind, backdrop, *_shadow(scene))
    return scene


def _behind(product: Product, camera: Camera) -> Floats:
    """The empty backdrop in its season."""
    backdrop = BACKDROPS[product.background]
    empty = paper(backdrop, camera)
    if product.background == "none":
        return empty
    return decorated(empty, product.season, camera, tinted=not backdrop.flat, seed=product.seed)


def _shadow(scene: Scene) -> tuple[Floats, Floats]:
    lamp, free = shadow(scene.whole, scene.camera, scene.rig, scene.centre, scene.radius)
    if not any(part.surface.glass for part in scene.parts):
        return lamp, free
    stopped = np.ones_like(lamp)
    if scene.solid is not None:
        stopped, _ = shadow(scene.solid, scene.camera, scene.rig, scene.centre, scene.radius)
    return lamp + (stopped - lamp) * np.float32(GLASS_OPENNESS), free
