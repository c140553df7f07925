"""What `style_gan` and `growing_gan` learn, as `worker.training.gan` has it; see there.

`style_gan`: Karras et al. 2019, arXiv:1812.04948, section 3.1: most pictures are made of two styles, so that sizes do
not rely on one another. `growing_gan`: Karras et al. 2018, arXiv:1710.10196, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from worker.networks.growing_gan import GrowingGan
from worker.networks.style_gan import StyleGan
from worker.training.gan import CARD, SIZES, GanObjective, WassersteinGanObjective
from worker.training.pictures import Pictures, check_side

_MIXED = 0.9  # of the batches; the paper's


class StyleGanObjective(GanObjective):
    """The objective; see `worker.training.objectives.Contest`."""

    architecture = "style_gan"
    sizes: Mapping[str, Any] = {"side_px": SIZES["side_px"], "width": 16, "style": 96}
    card: Mapping[str, Any] = {
        **CARD,
        "summary": "Makes small pictures of products from words, in styles that can be kept and mixed.",
        "parameters": {
            "truncation": {
                "type": "number",
                "description": "How far a style may be from the usual one: 0 not at all, 1 as learned.",
                "default": 0.8,
                "minimum": 0.0,
                "maximum": 1.2,
            },
        },
    }

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> nn.Module:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return StyleGan(**sizes)

    def made_to_learn(self, network: Any, examples: Pictures) -> Tensor:
        generator, count, device = network.generator, len(examples.pixels), examples.pixels.device
        chance = torch.randn(2, count, generator.latent, device=device)
        first, second = (generator.style(each, examples.words) for each in chance)
        generator.learn_usual(first.detach())
        levels = len(generator.levels)
        crossing = int(torch.randint(1, levels + 1, ())) if float(torch.rand(())) < _MIXED else levels
        styles = [first if number < crossing else second for number in range(levels)]
        made: Tensor = generator.paint(styles, [noise.to(device) for noise in generator.noises(count)])
        return made


class GrowingGanObjective(WassersteinGanObjective):
    """The objective; see `worker.training.objectives.Contest`."""

    architecture = "growing_gan"
    sizes: Mapping[str, Any] = {**SIZES, "growth": 300}

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> nn.Module:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return GrowingGan(**sizes)

    def losses(self, network: Any, examples: Pictures) -> Iterator[tuple[str, Tensor]]:
        network.grow()
        yield from super().losses(network, examples)
