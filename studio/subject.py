"""What a kind hands to the renderer: parts and the room they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.fields import Floats, Vector
from studio.surfaces import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A product as solids, standing on y = 0."""

    parts: tuple[Part, ...]
    lower: Vector  # corners of a box that holds every part
    upper: Vector

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        return np.array(self.lower, np.float32), np.array(self.upper, np.float32)
