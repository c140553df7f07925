"""Whether a restyled product is still taken for itself: its nearest original among all is its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.vgg import VggFeatures
from worker.quality.looking import luminance, scaled, slopes

_SIDE_PX, _CELLS = 96, 12  # of the square that is described; cells along a side, 8 px each
_DIRECTIONS = 9  # of edges, without sign: a light edge on dark and a dark one on light are the same
_LEAST = 1e-4  # of a cell's gradients, whose direction is noise below it
_TEACHER_SIDE_PX = 224
_PLACES = 7  # along a side, at which the deepest features are averaged
_EQUAL = 1e-5  # likeness by which two are told apart: a catalogue may hold one picture twice


def descriptor(picture: Tensor) -> Tensor:
    """Return what a picture shows whatever its colours: uint8 [3, h, w] -> float [d] of length 1.

    Histograms of the directions of edges in 12 × 12 cells (Dalal & Triggs 2005, "Histograms of Oriented Gradients for
    Human Detection"). Departures: each cell is normalised by itself; a direction falls into one bin.
    """
    square = F.adaptive_avg_pool2d(scaled(picture, 4 * _SIDE_PX), _SIDE_PX)[0]
    across, down = slopes(luminance(square * 255))
    direction = torch.atan2(down, across) % torch.pi
    number = (direction / torch.pi * _DIRECTIONS).long().clamp(max=_DIRECTIONS - 1)
    by_direction = F.one_hot(number, _DIRECTIONS).permute(2, 0, 1) * torch.hypot(across, down)
    cells = F.adaptive_avg_pool2d(by_direction, _CELLS)
    return F.normalize((cells / (cells.norm(dim=0) + _LEAST)).flatten(), dim=0)


@torch.inference_mode()
def feature_descriptor(picture: Tensor, teacher: VggFeatures) -> Tensor:
    """Return what the teacher sees in a picture, float [d] of length 1: its deepest features, at 7 × 7 places."""
    device = next(teacher.parameters()).device
    features = teacher(scaled(picture.to(device), _TEACHER_SIDE_PX), ["relu5_3"])["relu5_3"]
    return F.normalize(F.adaptive_avg_pool2d(features, _PLACES).flatten(), dim=0).cpu()


def taken_for(originals: Tensor, restyled: Tensor) -> list[int]:
    """Return, for each restyled picture, the place of its nearest original: [n, d] and [n, d] of length 1.

    Its own where no other is nearer: of equal pictures in a catalogue each is as good as the other.
    """
    found = []
    for place, picture in enumerate(restyled):
        likeness = originals @ picture
        best = int(likeness.argmax())
        found.append(place if float(likeness[best] - likeness[place]) <= _EQUAL else best)
    return found
