"""What `pix2pix` learns: pictures from what is drawn beside them; see `worker.training.objectives.Contest`.

Isola et al. 2017, arXiv:1611.07004, equation 4: the picture is to be near the one that belongs to the drawing (L1), and
the discriminator is not to tell it from one. With several discriminators their features of both are to agree, too, as
in Wang et al. 2018, arXiv:1711.11585, equation 4. Departure: the loss is that of least squares (Mao et al. 2017,
arXiv:1611.04076) for one discriminator as well.

The first sidecar that a run names is what is drawn. Where `masks` are among them, silhouettes are measured by them.
The attributes that a run names are told beside the drawing, and left out now and then: a drawing alone will do, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.pix2pix import Pix2Pix
from worker.networks.words import UNKNOWN
from worker.pipelines.pix2pix import ANY
from worker.quality.silhouette import iou, silhouette
from worker.training.photos import Photos

SIZES: dict[str, int] = {"width": 24, "depth": 5, "discriminators": 1, "discriminator_width": 24}
SIDE_PX = 96  # of the pictures; chosen: what a processor learns in half an hour
SHEET_ROWS = 8
_NEAR, _REAL, _AGREE = 50.0, 1.0, 5.0  # weights; chosen: half of the papers', for fewer steps
_UNTOLD = 0.1  # of the words; chosen
_MASKS = "masks"

CARD: dict[str, Any] = {
    "operation": "translate",
    "summary": "Makes pictures of products from drawings.",
    "needs_style": False,
    "limits": [
        "It knows the kinds of products and of drawings that it was trained on, and no others.",
        f"It draws {SIDE_PX} px; larger drawings get that, enlarged.",
        "What neither the drawing nor a parameter tells, such as a colour, is the mean of all that it may be.",
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch: pictures are float [N, 3, 96, 96] in [0, 1]."""

    drawings: Tensor
    pictures: Tensor
    masks: Tensor  # no channel where there are none
    words: Tensor  # int64 [N, A], -1 where one is not known

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class Pix2PixObjective:
    """The objective; see `worker.training.objectives.Contest`."""

    architecture = "pix2pix"
    betas = (0.5, 0.999)  # section 3.3
    keeps = "generator"
    side_px = SIDE_PX
    probe_examples = 64
    headline = "held_out_likeness"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> Pix2Pix:
        """Return an untrained network."""
        return Pix2Pix(**sizes)

    def parameters(self, attributes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the card's parameters by which a recipe says what drawings do not."""
        return {
            name: {
                "type": "string",
                "description": f"The picture's {name}; {ANY}: what suits the drawing.",
                "default": ANY,
                "enum": [ANY, *words],
            }
            for name, words in attributes.items()
        }

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        chosen = photos.some(torch.randint(len(photos), (count,), generator=generator))
        layers = [next(iter(chosen.sidecars.values())), chosen.pixels]
        layers.append(chosen.sidecars.get(_MASKS, chosen.pixels[:, :0]))
        mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        drawings, pictures, masks = (torch.where(mirrored, layer.flip(3), layer) / 255 for layer in layers)
        untold = torch.rand(count, chosen.words.shape[1], generator=generator) < _UNTOLD
        words = torch.where(untold, UNKNOWN, chosen.words)
        return Examples(drawings=drawings, pictures=pictures, masks=masks, words=words)

    def losses(self, network: Pix2Pix, examples: Examples) -> Iterator[tuple[str, Tensor]]:
        judge, drawings = network.discriminator, examples.drawings
        made = network.generator(drawings, examples.words)
        real, false = judge(drawings, examples.pictures), judge(drawings, made.detach())
        told = [
            (r[-1].float() - 1).square().mean() + f[-1].float().square().mean()
            for r, f in zip(real, false, strict=True)
        ]
        yield "discriminator", torch.stack(told).mean() / 2
        seen = judge(drawings, made)
        loss = _NEAR * F.l1_loss(made, examples.pictures)
        loss = loss + _REAL * torch.stack([(features[-1].float() - 1).square().mean() for features in seen]).mean()
        if len(seen) > 1:
            with torch.no_grad():
                wanted = judge(drawings, examples.pictures)
            pairs = [
                F.l1_loss(a.float(), b.float())
                for found, sought in zip(seen, wanted, strict=True)
                for a, b in zip(found[:-1], sought[:-1], strict=True)
            ]
            loss = loss + _AGREE * torch.stack(pairs).mean()
        yield "generator", loss

    @torch.inference_mode()
    def measure(self, network: Pix2Pix, examples: Examples) -> dict[str, float]:
        """Return how near pictures are to those of the drawings, and how well silhouettes fit the masks."""
        made = network.generator(examples.drawings, examples.words)
        figures = {"held_out_likeness": -float(F.l1_loss(made, examples.pictures))}
        if examples.masks.shape[1] == 0:
            return figures
        for name, pictures in (("", made), ("_of_the_pictures", examples.pictures)):
            outlines = [silhouette((picture * 255).round().to(torch.uint8)) for picture in pictures]
            pairs = zip(outlines, examples.masks, strict=True)
            fits = [iou(outline, mask[:1] > 0.5) for outline, mask in pairs if outline is not None]
            figures[f"held_out_mask_iou{name}"] = sum(fits) / len(fits) if fits else 0.0
        return figures

    @torch.inference_mode()
    def sample(self, network: Pix2Pix, examples: Examples) -> dict[str, Tensor]:
        drawings, words = examples.drawings[:SHEET_ROWS], examples.words[:SHEET_ROWS]
        made = network.generator(drawings, words)
        return {"drawing": drawings, "found": made, "picture": examples.pictures[:SHEET_ROWS]}
