"""Runs the models of a recipe on a batch, one after the other, each where it is to act.

Between two models a picture is what a file of it would hold, 8 bits a channel, and stays on the device: the bytes are
those of two jobs, of which the second restyles the PNG files of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from worker.networks.protected_colours import ProtectedColour
from worker.pipelines.base import Batch, GeneratingPipeline, Parameters, Pipeline, TiledPipeline
from worker.pipelines.by_table import mix

_STRIP_PIXELS = 1 << 20  # mixed at once: in whole numbers a picture takes four times its bytes, more than once


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyStep:
    """A model that is ready to run, with all that the recipe says of it."""

    pipeline: Pipeline | GeneratingPipeline
    style: Tensor | None
    parameters: Parameters
    on: Literal["all", "product", "background"] = "all"
    background_strength: float | None = None  # the look's, outside of masks; None: as inside
    protected: tuple[ProtectedColour, ...] = ()

    @property
    def needs_masks(self) -> bool:
        return self.on != "all" or self.background_strength is not None

    def of(self, batch: Batch, images: Tensor) -> Batch:
        """Return the batch as this model is to see it."""
        return replace(batch, images=images, background_strength=self.background_strength, protected=self.protected)

    def run(self, batch: Batch) -> Tensor:
        """Return what the model makes of a batch, or of its wishes: uint8 [N, 3, H, W]."""
        if isinstance(self.pipeline, GeneratingPipeline):
            assert batch.wishes is not None
            made = self.pipeline.generate(batch.wishes, self.parameters)
            images = batch.images.clone(memory_format=torch.contiguous_format)
            images[..., : made.shape[2], : made.shape[3]] = made
            return images
        return self.pipeline.run(batch, self.style, self.parameters)


@torch.inference_mode()
def run(steps: Sequence[ReadyStep], batch: Batch) -> Tensor:
    """Return what the models make of a batch: uint8 [N, 3, H, W], the padding's content undefined."""
    images = batch.images
    for step in steps:
        found = step.run(step.of(batch, images))
        _put_back(images, found, batch, step)
        images = found
    return images


@torch.inference_mode()
def run_tiled(steps: Sequence[ReadyStep], batch: Batch, device: torch.device) -> Tensor:
    """Restyle one picture that the device cannot hold, a batch of one in memory -> uint8 [1, 3, H, W], in memory.

    A model that cannot take pictures apart gets the device for itself, and the picture whole.
    """
    images = batch.images
    for step in steps:
        given = step.of(batch, images)
        if isinstance(step.pipeline, TiledPipeline):
            found = step.pipeline.run_tiled(given, step.style, step.parameters)
        else:
            found = step.run(given.on(device)).cpu()
        _put_back(images, found, batch, step)
        images = found
    return images


def _put_back(before: Tensor, after: Tensor, batch: Batch, step: ReadyStep) -> None:
    """Give what lies outside of a step's region its bytes back; along the mask's soft edge, both are mixed."""
    if step.on == "all":
        return
    assert batch.masks is not None
    product, background = (after, before) if step.on == "product" else (before, after)
    for number, (height, width) in enumerate(batch.sizes):
        rows = max(1, _STRIP_PIXELS // width)
        for top in range(0, height, rows):
            strip = (number, slice(None), slice(top, min(top + rows, height)), slice(width))
            after[strip] = mix(product[strip], background[strip], batch.masks[strip])
