"""What `gan` and `wasserstein_gan` learn: pictures that a critic takes for real; see `worker.training.objectives`.

`gan`: Goodfellow et al. 2014, arXiv:1406.2661, with the loss that does not saturate (its section 3), and the critic's
gradients at real pictures kept short (Mescheder et al. 2018, arXiv:1801.04406, equation 9), now and then, as of Karras
et al. 2020, arXiv:1912.04958, section 3.1. `wasserstein_gan`: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
Both see pictures moved and with a hole, so that the critic does not know the photos by heart: Zhao et al. 2020,
"DiffAugment", arXiv:2006.10738, without its colours, which are words here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.gan import Gan
from worker.training.likeness import made_figures
from worker.training.photos import Photos
from worker.training.pictures import SIDE_PX, Pictures, check_side, draw_pictures

SIZES: dict[str, int] = {"side_px": SIDE_PX, "width": 16, "latent": 48, "code": 128}
SHEET_ROWS = 8
_PROBE_SEED = 0
_SHORT, _SHORT_SHARE = 1.0, 0.125  # weight of the penalty, and how often it is looked at; chosen
_PENALTY, _CRITICS = 10.0, 3  # the paper's λ; its critic takes 5 steps for one: fewer, for processors
_MOVED, _HOLE = 1 / 8, 1 / 2  # of the side; DiffAugment's

CARD: dict[str, Any] = {
    "operation": "generate",
    "summary": "Makes small pictures of products from words, in one go.",
    "parameters": {
        "variety": {
            "type": "number",
            "description": "How far from the most usual picture of its words one may be: 0 not at all, 1 as learned.",
            "default": 1.0,
            "minimum": 0.0,
            "maximum": 1.5,
        },
    },
    "limits": ["It knows the words and the kinds of pictures that it was trained on, and no others."],
}


class GanObjective:
    """The objective; see `worker.training.objectives.Contest`."""

    architecture = "gan"
    betas = (0.0, 0.99)
    keeps = "generator"
    side_px = SIDE_PX
    probe_examples = 256
    headline = "held_out_likeness"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> nn.Module:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return Gan(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Pictures:
        return draw_pictures(photos, count, generator)

    def losses(self, network: Any, examples: Pictures) -> Iterator[tuple[str, Tensor]]:
        critic, words = network.critic, examples.words
        made = self.made_to_learn(network, examples).detach()
        judged = critic(spoiled(examples.pixels), words), critic(spoiled(made), words)
        loss = F.softplus(-judged[0]).mean() + F.softplus(judged[1]).mean()
        if float(torch.rand(())) < _SHORT_SHARE:
            lengths = _gradients(critic, spoiled(examples.pixels), words).square().sum(1)
            loss = loss + _SHORT / 2 / _SHORT_SHARE * lengths.mean()
        yield "critic", loss
        yield "generator", F.softplus(-critic(spoiled(self.made_to_learn(network, examples)), words)).mean()

    def made_to_learn(self, network: Any, examples: Pictures) -> Tensor:
        """Return pictures of the examples' words, by chance."""
        noise = torch.randn(len(examples.pixels), network.generator.latent, device=examples.pixels.device)
        made: Tensor = network.generator(noise, examples.words)
        return made

    @torch.inference_mode()
    def measure(self, network: Any, examples: Pictures) -> dict[str, float]:
        """Return how far pictures of the same words are from those held out, and how they differ from one another."""
        return made_figures(self.made(network, examples), examples.pixels)

    @torch.inference_mode()
    def sample(self, network: Any, examples: Pictures) -> dict[str, Tensor]:
        few = examples.first(SHEET_ROWS)
        return {"picture": few.pixels, **{f"made {seed}": self.made(network, few, seed) for seed in range(1, 4)}}

    def made(self, network: Any, examples: Pictures, seed: int = _PROBE_SEED) -> Tensor:
        """Return pictures of the examples' words, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(examples.pixels), network.generator.latent, generator=generator)
        made: Tensor = network.generator(noise.to(examples.pixels.device), examples.words)
        return made


class WassersteinGanObjective(GanObjective):
    """The same network, whose critic measures how far apart both kinds of pictures are."""

    def losses(self, network: Any, examples: Pictures) -> Iterator[tuple[str, Tensor]]:
        critic, words = network.critic, examples.words
        for _ in range(_CRITICS):
            made, real = spoiled(self.made_to_learn(network, examples).detach()), spoiled(examples.pixels)
            between = torch.lerp(made, real, torch.rand(len(real), 1, 1, 1, device=real.device))
            lengths = _gradients(critic, between, words).norm(dim=1)
            distance = critic(made, words).mean() - critic(real, words).mean()
            yield "critic", distance + _PENALTY * (lengths - 1).square().mean()
        yield "generator", -critic(spoiled(self.made_to_learn(network, examples)), words).mean()


def _gradients(critic: nn.Module, pictures: Tensor, words: Tensor) -> Tensor:
    """Return how judgements change with the pictures: float [N, values], with a graph of their own."""
    pictures = pictures.detach().requires_grad_()
    with torch.autocast(pictures.device.type, enabled=False):
        judged = critic(pictures, words).sum()
    return torch.autograd.grad(judged, pictures, create_graph=True)[0].flatten(1)


def spoiled(pictures: Tensor) -> Tensor:
    """Return pictures [N, 3, side, side], each moved by chance, with a square of grey somewhere. Gradients pass."""
    side = pictures.shape[2]
    most, hole = round(_MOVED * side), round(_HOLE * side)
    wide = F.pad(pictures, (most, most, most, most), value=0.5)
    corners = torch.randint(2 * most + 1, (len(pictures), 2)).tolist()
    parts = zip(wide, corners, strict=True)
    moved = torch.stack([part[:, top : top + side, left : left + side] for part, (top, left) in parts])
    middles = torch.randint(side, (len(pictures), 2), device=pictures.device)
    axis = torch.arange(side, device=pictures.device)
    inside = [(axis - middles[:, which, None]).abs() < hole / 2 for which in (0, 1)]
    return torch.where((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.5, moved)
