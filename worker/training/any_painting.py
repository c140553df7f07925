"""What `any_painting` learns: photos painted in the manner of any picture; see `worker.training.objectives`.

Huang & Belongie 2017, arXiv:1703.06868, section 5: the painted photo is to show to the teacher what the photo shows
with the painting's statistics (equation 12), and its features are to have those statistics at four depths (equation
13). Departure: each distance is a share of its own length (`worker.training.perception`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.any_painting import AnyPaintingNetwork
from worker.networks.painting import mean_and_deviation, with_statistics
from worker.networks.vgg import VggFeatures
from worker.training.painter import STRENGTH
from worker.training.perception import apart
from worker.training.photos import Photos, random_crops
from worker.training.references import SIDE_PX, References

SIZES: dict[str, int] = {"width": 16, "blocks": 2}
PHOTO_SIDE_PX = 208  # photos are kept at this size
CROP_PX = 128
SHEET_ROWS = 8
_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")  # section 6.1
_CONTENT_LAYER = "relu4_1"
_STYLE = 2.0  # chosen; the paper's 10 is of other units

CARD: dict[str, Any] = {
    "operation": "restyle",
    "acts_on": "background",
    "summary": "Paints in the manner of the references.",
    "needs_style": True,
    "parameters": {"strength": STRENGTH},
    "limits": [
        "Of a manner it knows statistics alone: what a painting shows, and where, is not carried over.",
        "It paints a copy of at most 1024 px; the change is enlarged.",
        "What it paints over changes: letters and faces do not survive. Keep it off products, or weak.",
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch: photos, and the picture in whose manner each is to be painted. Float [N, 3, 128, 128] in [0, 1]."""

    photos: Tensor
    paintings: Tensor

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class AnyPaintingObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "any_painting"
    side_px = PHOTO_SIDE_PX
    probe_examples = 16
    headline = "held_out_likeness"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def __init__(self, references: References, teacher: VggFeatures) -> None:
        self._paintings = references.pictures
        self._teacher = teacher

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> AnyPaintingNetwork:
        """Return an untrained network."""
        return AnyPaintingNetwork(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        which = torch.randint(len(photos), (count,), generator=generator)
        return Examples(
            photos=random_crops(photos.pixels[which], CROP_PX, generator),
            paintings=_random_parts(self._paintings, count, generator),
        )

    def loss(self, network: AnyPaintingNetwork, examples: Examples) -> Tensor:
        content, style = self._distances(_painted(network, examples), examples)
        return content.mean() + _STYLE * style.mean()

    @torch.inference_mode()
    def measure(self, network: AnyPaintingNetwork, examples: Examples) -> dict[str, float]:
        """Return distances of what is painted, and of the photos as they are; the headline falls with both."""
        content, style = self._distances(_painted(network, examples), examples)
        _, unpainted = self._distances(examples.photos, examples)
        return {
            "held_out_content_distance": float(content.mean()),
            "held_out_style_distance": float(style.mean()),
            "held_out_style_distance_unchanged": float(unpainted.mean()),
            "held_out_likeness": -float(content.mean() + _STYLE * style.mean()),
        }

    @torch.inference_mode()
    def sample(self, network: AnyPaintingNetwork, examples: Examples) -> dict[str, Tensor]:
        few = Examples(photos=examples.photos[:SHEET_ROWS], paintings=examples.paintings[:SHEET_ROWS])
        return {"photo": few.photos, "reference": few.paintings, "found": _painted(network, few)}

    def _distances(self, painted: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
        """Return how far each picture is from what it is to show, and from its painting's statistics: [N] each."""
        with torch.no_grad():
            shown = self._teacher(examples.photos, (_CONTENT_LAYER,))[_CONTENT_LAYER].float()
            of_paintings = self._teacher(examples.paintings, _LAYERS)
            wanted = {layer: mean_and_deviation(values.float()) for layer, values in of_paintings.items()}
            target = with_statistics(shown, wanted[_CONTENT_LAYER])
        found = {layer: values.float() for layer, values in self._teacher(painted, _LAYERS).items()}
        content = apart(found[_CONTENT_LAYER], target)  # equation 12
        styles = [apart(mean_and_deviation(found[layer]), wanted[layer]) for layer in _LAYERS]  # equation 13
        return content, torch.stack(styles).mean(0)


def _painted(network: AnyPaintingNetwork, examples: Examples) -> Tensor:
    painted: Tensor = network(examples.photos, network.encode(examples.paintings))
    return painted.float()


def _random_parts(pictures: Sequence[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """Cut squares from style pictures, at half to all of the size they are kept at: float [count, 3, 128, 128]."""
    parts = []
    for _ in range(count):
        picture = pictures[int(torch.randint(len(pictures), (1,), generator=generator))]
        side = int(torch.randint(CROP_PX, SIDE_PX + 1, (1,), generator=generator))
        top, left = (int(torch.randint(length - side + 1, (1,), generator=generator)) for length in picture.shape[1:])
        part = picture[None, :, top : top + side, left : left + side] / 255
        parts.append(F.interpolate(part, (CROP_PX, CROP_PX), mode="bilinear", antialias=True))
    return torch.cat(parts)
