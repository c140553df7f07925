"""What `super_resolution_sharp` learns: pictures that look like photos of their size, rather than their mean.

Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network" (SRGAN),
arXiv:1609.04802, section 2.2: what a trained eye sees in both is to agree, and a discriminator is not to tell them
apart. Departures: pixels count, too, as in Wang et al. 2018 (ESRGAN), arXiv:1809.00219, equation 3; the discriminator
judges patches, beside what bicubic interpolation makes of the small picture; least squares. Such a run starts from a
model that `super_resolution` has trained: `start_from`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.pix2pix import Discriminators
from worker.networks.super_resolution import SuperResolutionNetwork, bicubic
from worker.networks.vgg import VggFeatures
from worker.training.perception import apart
from worker.training.super_resolution import CARD, SIZES, Examples, SuperResolutionObjective

_LAYER = "relu3_3"  # shallower than SRGAN's: cheaper
_PIXELS, _SEEN, _REAL = 1.0, 0.1, 0.005  # weights; chosen, as ESRGAN's are of one another
_DISCRIMINATOR_WIDTH = 24


class SharpResolution(nn.Module):
    """A network that enlarges, and its judge."""

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        self.generator = SuperResolutionNetwork(**sizes)
        self.discriminator = Discriminators(width=_DISCRIMINATOR_WIDTH, count=1)


class SharpResolutionObjective(SuperResolutionObjective):
    """The objective; see `worker.training.objectives.Contest`."""

    betas = (0.9, 0.999)
    keeps = "generator"
    headline = "held_out_nearness"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = {
        **CARD,
        "limits": [
            *CARD["limits"][:2],
            "It draws texture that was not in the picture: it looks sharp, and is not to be relied on.",
        ],
    }

    def __init__(self, teacher: VggFeatures) -> None:
        self._teacher = teacher

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> Any:
        """Return an untrained network."""
        return SharpResolution(**sizes)

    def losses(self, network: SharpResolution, examples: Examples) -> Iterator[tuple[str, Tensor]]:
        scale = network.generator.scale
        small = examples.small(scale)
        plain, judge = bicubic(small, scale), network.discriminator
        made = network.generator(small)
        real, false = (judge(plain, pictures)[0][-1].float() for pictures in (examples.large, made.detach()))
        yield "discriminator", ((real - 1).square().mean() + false.square().mean()) / 2
        judged = judge(plain, made)[0][-1].float()
        pixels = F.l1_loss(made.float(), examples.large)
        yield (
            "generator",
            _PIXELS * pixels + _SEEN * self._away(made, examples.large).mean() + _REAL * (judged - 1).square().mean(),
        )

    @torch.inference_mode()
    def measure(self, network: Any, examples: Examples) -> dict[str, float]:
        """Return likeness by pixels, and how far apart a trained eye finds them; the headline falls with that."""
        enlarge = network.generator
        small = examples.small(enlarge.scale)
        found, plain = (
            float(self._away(pictures, examples.large).mean())
            for pictures in (enlarge(small), bicubic(small, enlarge.scale))
        )
        return {
            **super().measure(enlarge, examples),
            "held_out_perceptual_distance": found,
            "held_out_bicubic_perceptual_distance": plain,
            "held_out_nearness": -found,
        }

    @torch.inference_mode()
    def sample(self, network: Any, examples: Examples) -> dict[str, Tensor]:
        return super().sample(network.generator, examples)

    def _away(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return how far apart a trained eye finds pictures: [N]."""
        seen, sought = (self._teacher(pictures, (_LAYER,))[_LAYER].float() for pictures in (found, wanted))
        return apart(seen, sought)
