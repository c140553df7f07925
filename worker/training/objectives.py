"""What can be learned: an objective says which network, from which examples, by which loss.

The loop (`worker.training.loop`) knows nothing but this. A new objective is a file and a line of the table below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from worker.networks.vgg import VggFeatures
from worker.training.any_painting import AnyPaintingObjective
from worker.training.attribute_reader import AttributeReaderObjective
from worker.training.cycle_gan import CycleGanObjective
from worker.training.diffusion import DiffusionObjective
from worker.training.gan import GanObjective, WassersteinGanObjective
from worker.training.grade import BrandLook, GradeObjective
from worker.training.inpainting import InpaintingObjective
from worker.training.painter import PainterObjective
from worker.training.photos import Photos
from worker.training.pix2pix import Pix2PixObjective
from worker.training.references import References
from worker.training.sentence_reader import SentenceReaderObjective
from worker.training.sharp_resolution import SharpResolutionObjective
from worker.training.style_gan import GrowingGanObjective, StyleGanObjective
from worker.training.super_resolution import SuperResolutionObjective
from worker.training.vae import VaeObjective
from worker.training.vq_vae import VqVaeObjective


class Examples(Protocol):
    """A batch of whatever shape the objective likes."""

    def to(self, device: torch.device) -> Self: ...


class Objective(Protocol):
    """One thing to learn from photos. `Any` where an objective's own types meet: they come from it and go to it."""

    architecture: str  # of the model: a line in worker.checkpoints
    side_px: int  # photos are kept as squares of this size
    probe_examples: int  # drawn once from the photos held out
    headline: str  # the measure that tells which weights are best: more is better
    sizes: Mapping[str, Any]  # of the network, where a run names no others; names are the run's own
    card: Mapping[str, Any]  # what every card of such a model says: operation, summary, parameters, limits …

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> nn.Module:
        """Return an untrained network. May raise TypeError for sizes that it does not know."""

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Any:
        """Return `Examples`, drawn from photos of side_px, and what is known of them, by nothing but the generator."""

    def measure(self, network: Any, examples: Any) -> dict[str, float]:
        """Return figures of examples that were held out, the headline among them."""

    def sample(self, network: Any, examples: Any) -> dict[str, Tensor]:
        """Return the columns of a sample sheet by title: pictures float [R, 3, h, w] in [0, 1], row beside row."""


@runtime_checkable
class Single(Objective, Protocol):
    """An objective whose network learns as a whole, as most do."""

    def loss(self, network: Any, examples: Any) -> Tensor:
        """Return a scalar."""


@runtime_checkable
class Contest(Objective, Protocol):
    """An objective of several parts of one network that learn in turn, each from a loss of its own: a GAN's players."""

    betas: tuple[float, float]  # of AdamW, for all of them
    keeps: str  # the part that becomes the model

    def losses(self, network: Any, examples: Any) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of a part, a submodule of the network, and a scalar that its parameters are to lower.

        The part has taken its step when the next loss is asked for.
        """


@runtime_checkable
class Building(Objective, Protocol):
    """An objective whose network can be built on that of a model of another architecture, which stays as it is."""

    builds_on: str  # that architecture

    def sizes_on(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sizes of a network that is built on one with this config."""

    def adopt(self, network: Any, weights: Mapping[str, Tensor]) -> None:
        """Give a network the weights that it is built on. Raises RuntimeError if they do not fit."""


@runtime_checkable
class Told(Objective, Protocol):
    """An objective whose model takes words as parameters of a recipe."""

    def parameters(self, attributes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return those parameters, as a card has them, for a model that knows these words."""


# By name, those that jobs.trainings knows. The second table's learn with the teacher's help, the third's from style
# pictures as well.
OBJECTIVES: dict[str, Objective] = {
    "attribute_reader": AttributeReaderObjective(),
    "brand_look": BrandLook(),
    "cycle_gan": CycleGanObjective(),
    "diffusion": DiffusionObjective(),
    "gan": GanObjective(),
    "growing_gan": GrowingGanObjective(),
    "inpainting": InpaintingObjective(),
    "pix2pix": Pix2PixObjective(),
    "reference_grade": GradeObjective(),
    "sentence_reader": SentenceReaderObjective(),
    "style_gan": StyleGanObjective(),
    "super_resolution": SuperResolutionObjective(),
    "vae": VaeObjective(),
    "vq_vae": VqVaeObjective(),
    "wasserstein_gan": WassersteinGanObjective(),
}
SEEN: dict[str, Callable[[VggFeatures], Objective]] = {"super_resolution_sharp": SharpResolutionObjective}
TAUGHT: dict[str, Callable[[References, VggFeatures], Objective]] = {
    "any_painting": AnyPaintingObjective,
    "painter": PainterObjective,
}
