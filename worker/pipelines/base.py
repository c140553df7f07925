"""What every pipeline is: image tensors in, image tensors out, with one model.

Pipelines know tensors only: no storage, no database, no picture files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from worker.networks.protected_colours import ProtectedColour

Parameters = Mapping[str, float | int | bool | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Pictures of one bucket, padded at the right and at the bottom.

    images: uint8 [N, 3, H, W], sRGB-encoded, on the pipeline's device.
    sizes: (height, width) in pixels of each picture inside its padding.
    masks: uint8 [N, 1, H, W], 255 = product, 0 = background, between them a soft edge; None: not needed. Where a
        model acts is not its own concern: what lies outside is put back afterwards (`worker.cascade`).
    background_strength: of the look outside of the product, where there are masks; None: as inside.
    protected: colours that the look must leave alone.
    wishes: what is to be made, where nothing is there yet; then the images are blank.
    """

    images: Tensor
    sizes: Sequence[tuple[int, int]]
    masks: Tensor | None = None
    background_strength: float | None = None
    protected: tuple[ProtectedColour, ...] = ()
    wishes: Sequence[Wish] | None = None

    def on(self, device: torch.device, *, non_blocking: bool = False) -> Batch:
        """Return the same batch on a device."""
        masks = None if self.masks is None else self.masks.to(device, non_blocking=non_blocking)
        return replace(self, images=self.images.to(device, non_blocking=non_blocking), masks=masks)

    def part(self, start: int, end: int) -> Batch:
        """Return a run of its pictures; the pixels are not copied."""
        masks = None if self.masks is None else self.masks[start:end]
        wishes = None if self.wishes is None else self.wishes[start:end]
        return replace(self, images=self.images[start:end], sizes=self.sizes[start:end], masks=masks, wishes=wishes)


class Pipeline(Protocol):
    """A model that is ready to run on one device.

    A picture's result must not depend on its company: the same picture gives the same bytes alone, in any
    batch and at any place in it.
    """

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor | None:
        """Turn reference pictures, each uint8 [3, h, w] of any size, into the code that `run` takes.

        Done once per job and worker. None from a model that needs no style. `weights` say how much each reference
        counts; None: all the same.
        """
        ...

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return uint8 [N, 3, H, W], same shape as `batch.images`; the padding's content is undefined.

        The result is the caller's, who may write on it: it shares no memory with the batch. `parameters` are complete
        and checked against the model's card.
        """
        ...


@runtime_checkable
class TiledPipeline(Pipeline, Protocol):
    """A pipeline that can also take a picture to the device piece by piece."""

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Restyle one picture that the device cannot hold: a batch of one, in memory -> uint8 [1, 3, H, W], in memory.

        The bytes are those of `run`: no seam is to be seen where two pieces meet.
        """
        ...


@runtime_checkable
class TablePipeline(Pipeline, Protocol):
    """A pipeline of which all that it does to a product is one colour table per picture."""

    def tables(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return float [N, 3, D, D, D] in [0, 1]: what `run` applies to each picture, inside the product.

        A table maps the sRGB colour (r, g, b) to table[:, b, g, r], interpolated trilinearly.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A picture that is to be made.

    attributes: a word of each; one that is left out is drawn from the seed.
    seed: of all chance in it.
    """

    attributes: Mapping[str, str]
    seed: int


@runtime_checkable
class GeneratingPipeline(Protocol):
    """A model that makes pictures out of nothing but words and chance.

    A picture depends on its wish and the weights alone, never on what is made beside it.
    """

    side_px: int
    attributes: Mapping[str, Sequence[str]]  # that it knows, and their words

    def generate(self, wishes: Sequence[Wish], parameters: Parameters) -> Tensor:
        """Return uint8 [N, 3, side_px, side_px]. `parameters` are complete and checked against the model's card.

        Raises:
            ValueError: an attribute or a word that the model does not know.

        """
        ...
