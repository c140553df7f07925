"""What `cycle_gan` learns: to turn pictures of one kind into another's; see `worker.training.objectives.Contest`.

Zhu et al. 2017, arXiv:1703.10593, equation 3, with the identity loss of its section 5.2: what is turned is not to be
told from pictures of the other kind, and turned back is to be what it was. Least squares, as the paper (section 4).
The two kinds are the first two words of the run's attribute, in alphabetical order: `there` leads from the first to the
second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.cycle_gan import WAYS, CycleGan
from worker.training.painter import STRENGTH
from worker.training.photos import Photos

SIZES: dict[str, int] = {"width": 16, "depth": 4, "discriminator_width": 16}
SIDE_PX = 96
SHEET_ROWS = 8
_BACK, _SAME = 10.0, 5.0  # the paper's λ, and half of it for the identity

CARD: dict[str, Any] = {
    "operation": "translate",
    "summary": "Turns pictures of one kind into another's, and back.",
    "needs_style": False,
    "parameters": {
        "way": {
            "type": "string",
            "description": "From the first of the card's two words to the second, or back.",
            "default": WAYS[0],
            "enum": list(WAYS),
        },
        "strength": STRENGTH,
    },
    "limits": [
        "It knows the two kinds of pictures that it was trained on, and no others.",
        f"It turns a copy of {SIDE_PX} px; the change is enlarged.",
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch: as many pictures of each kind, which do not belong together. Float [N, 3, 96, 96] in [0, 1]."""

    kinds: tuple[Tensor, Tensor]

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(kinds=(self.kinds[0].to(device), self.kinds[1].to(device)))


class CycleGanObjective:
    """The objective; see `worker.training.objectives.Contest`."""

    architecture = "cycle_gan"
    betas = (0.5, 0.999)
    keeps = "generators"
    side_px = SIDE_PX
    probe_examples = 32
    headline = "held_out_likeness"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> CycleGan:
        """Return an untrained network."""
        return CycleGan(**{name: value for name, value in sizes.items() if name in SIZES})

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        kinds = []
        for kind in range(2):
            of_kind = (photos.words[:, 0] == kind).nonzero().flatten()
            which = of_kind[torch.randint(len(of_kind), (count,), generator=generator)]
            pictures = photos.pixels[which] / 255
            mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
            kinds.append(torch.where(mirrored, pictures.flip(3), pictures))
        return Examples(kinds=(kinds[0], kinds[1]))

    def losses(self, network: CycleGan, examples: Examples) -> Iterator[tuple[str, Tensor]]:
        turn, kinds = network.generators.turn, examples.kinds
        turned = [turn(pictures, way) for way, pictures in enumerate(kinds)]
        told = [
            (network.judge(kinds[1 - way], 1 - way) - 1).square().mean()
            + network.judge(turned[way].detach(), 1 - way).square().mean()
            for way in range(2)
        ]
        yield "discriminators", torch.stack(told).mean() / 2
        parts = []
        for way, pictures in enumerate(kinds):
            parts.append((network.judge(turned[way], 1 - way) - 1).square().mean())
            parts.append(_BACK * F.l1_loss(turn(turned[way], 1 - way), pictures))  # equation 2
            parts.append(_SAME * F.l1_loss(turn(pictures, 1 - way), pictures))
        yield "generators", torch.stack(parts).sum()

    @torch.inference_mode()
    def measure(self, network: CycleGan, examples: Examples) -> dict[str, float]:
        """Return how near colours come to the other kind's, how near the way back leads, and how far pictures move."""
        turn, kinds = network.generators.turn, examples.kinds
        turned = [turn(pictures, way) for way, pictures in enumerate(kinds)]
        back = [F.l1_loss(turn(turned[way], 1 - way), kinds[way]) for way in range(2)]
        away = [_colours_apart(turned[way], kinds[1 - way]) for way in range(2)]
        return {
            "held_out_colour_distance": sum(away) / 2,
            "held_out_colour_distance_unchanged": _colours_apart(*kinds),
            "held_out_cycle_distance": float(torch.stack(back).mean()),
            "held_out_likeness": -sum(away) / 2 - float(torch.stack(back).mean()),
        }

    @torch.inference_mode()
    def sample(self, network: CycleGan, examples: Examples) -> dict[str, Tensor]:
        first, second = (pictures[:SHEET_ROWS] for pictures in examples.kinds)
        turn = network.generators.turn
        return {"first": first, "there": turn(first, 0), "second": second, "back": turn(second, 1)}


def _colours_apart(found: Tensor, wanted: Tensor) -> float:
    """Return how far apart the distributions of both kinds' values are: the mean of the channels' distances."""
    first, second = (pictures.transpose(0, 1).flatten(1).sort(dim=1).values for pictures in (found, wanted))
    return float((first - second).abs().mean())
