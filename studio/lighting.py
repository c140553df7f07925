"""The studio's lamps, and how a surface answers them: a large soft box, a strip light, a fill and the
room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.fields import Floats, Vector, vector
from studio.surfaces import Spots, Surface, ramp


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One set-up of lamps, relative to the camera. Angles in degrees."""

    azimuth: float  # of the key lamp: positive stands to the right of the camera
    elevation: float  # of the key lamp above the ground
    key: Vector  # colour and strength
    room: Vector  # light from everywhere above
    size: float  # tangent of the key lamp's angular radius: larger is softer


LIGHTS = {
    "soft-left": Light(azimuth=-48, elevation=48, key=(0.86, 0.84, 0.80), room=(0.40, 0.41, 0.43), size=0.34),
    "soft-right": Light(azimuth=52, elevation=46, key=(0.86, 0.84, 0.81), room=(0.40, 0.41, 0.43), size=0.34),
    "overhead": Light(azimuth=-20, elevation=70, key=(0.80, 0.79, 0.77), room=(0.46, 0.46, 0.47), size=0.45),
    "window": Light(azimuth=-72, elevation=34, key=(1.05, 0.98, 0.88), room=(0.30, 0.33, 0.38), size=0.22),
    "evening": Light(azimuth=62, elevation=30, key=(1.12, 0.90, 0.66), room=(0.30, 0.31, 0.38), size=0.20),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A light, placed in the world."""

    light: Light
    lamp: Floats  # unit vector to the key lamp, [3]
    strip: Floats  # unit vector to the strip light opposite, [3]
    fill: Floats  # unit vector to the fill beside the camera, [3]
    bounce: Floats  # colour of the ground, linear, [3, 1]


def rig(light: Light, *, azimuth: float, ground: Vector) -> Rig:
    """Place a light for a camera that stands at `azimuth` degrees."""
    side = 1.0 if light.azimuth < 0 else -1.0
    return Rig(
        light=light,
        lamp=towards(azimuth + light.azimuth, light.elevation),
        strip=towards(azimuth + side * 75, 18),
        fill=towards(azimuth + side * 25, 22),
        bounce=vector(ground),
    )


def towards(azimuth: float, elevation: float) -> Floats:
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], np.float32)


def _dot(lamp: Floats, ways: Floats) -> Floats:
    return np.asarray(lamp[0] * ways[0] + lamp[1] * ways[1] + lamp[2] * ways[2])


def _panel(lamp: Floats, ways: Floats, half_width: float, half_height: float, blur: float) -> Floats:
    """1 where a direction looks into a rectangular lamp, with edges as soft as the mirror is rough."""
    right = np.array([lamp[2], 0, -lamp[0]], np.float32)
    right /= np.sqrt((right * right).sum())
    up = np.cross(lamp, right).astype(np.float32)
    ahead = _dot(lamp, ways)
    depth = np.maximum(ahead, np.float32(0.05))
    across: Floats = np.abs(_dot(right, ways) / depth)
    tall: Floats = np.abs(_dot(up, ways) / depth)
    soft = 0.05 + 1.6 * blur
    inside = ramp(-half_width, -across, soft) * ramp(-half_height, -tall, soft)
    # A lamp spread over a wider lobe is dimmer by the ratio of the areas.
    dimming = half_width * half_height / ((half_width + soft / 3) * (half_height + soft / 3))
    return inside * np.float32(dimming) * (ahead > 0.05)


def surroundings(rig: Rig, ways: Floats, roughness: float) -> Floats:
    """The light [3, N] that arrives from each direction: what a mirror would show."""
    light = rig.light
    blur = roughness * roughness
    up = ramp(-0.05, ways[1], 0.35 + blur)
    rise = 0.55 + 0.45 * ways[1]
    room = vector(light.room) * (rise * 1.1) * up + rig.bounce * (np.float32(0.62) * (1 - up))
    key = vector(light.key) * (_panel(rig.lamp, ways, 0.46, 0.62, blur) * np.float32(5.5))
    strip = vector(light.room) * (_panel(rig.strip, ways, 0.14, 0.95, blur) * np.float32(4.5))
    return np.asarray((room + key + strip).astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What stands between spots and the light."""

    lamp: Floats  # share of the key lamp that is seen, [N]
    open: Floats  # ambient openness, [N]


def reflect(rays: Floats, ways: Floats) -> Floats:
    return np.asarray(rays - 2 * (rays * ways).sum(0) * ways)


def shade(surface: Surface, spots: Spots, rays: Floats, rig: Rig, exposure: Exposure) -> Floats:
    """Return the light [3, N] that spots send back along `rays` (unit vectors from the camera, [3, N]).

    Of glass this is only what it mirrors; see `studio.render` for what it lets through.
    """
    colour, world = surface.paint(spots), spots.normals
    facing = np.clip(-(rays * world).sum(0), 0, 1)
    mirror = reflect(rays, world)
    fresnel = (1 - facing) ** 5 * np.float32((1 - surface.roughness) ** 2)
    head_on = colour if surface.metal else np.full_like(colour, surface.reflectance)
    share = head_on + (1 - head_on) * fresnel * np.float32(0.9)
    hidden = np.clip(exposure.open * 1.15 - 0.15 + 0.25 * exposure.lamp * exposure.open, 0.05, 1)
    light = share * surroundings(rig, mirror, surface.roughness) * hidden
    if surface.glow is not None:
        light = light + surface.glow(spots)
    if surface.metal or surface.glass:
        return np.asarray(light)
    light = light + colour * (1 - share) * irradiance(rig, world, exposure)
    if surface.sheen:
        light = light + colour * (np.float32(surface.sheen) * (1 - facing) ** 3 * exposure.open)
    return np.asarray(light)


def irradiance(rig: Rig, world: Floats, exposure: Exposure) -> Floats:
    """Diffuse light [3, N] on spots with these normals."""
    light = rig.light
    key = np.clip(_dot(rig.lamp, world) * 0.92 + 0.08, 0, None) * exposure.lamp
    fill = np.clip(_dot(rig.fill, world), 0, None) * exposure.open * np.float32(0.22)
    sky = (np.float32(0.62) + np.float32(0.38) * world[1]) * exposure.open
    ground = np.clip(np.float32(0.5) - np.float32(0.5) * world[1], 0, 1) * exposure.open
    room = vector(light.room)
    return np.asarray(vector(light.key) * key + room * (fill + sky) + rig.bounce * room * (ground * np.float32(0.75)))
