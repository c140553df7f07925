"""What every pipeline is: image tensors in, image tensors out, with one model.

Pipelines know tensors only: no storage, no database, no picture files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

Parameters = Mapping[str, float | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Pictures of one bucket, padded at the right and at the bottom.

    images: uint8 [N, 3, H, W], sRGB-encoded, on the pipeline's device.
    sizes: (height, width) in pixels of each picture inside its padding.
    """

    images: Tensor
    sizes: Sequence[tuple[int, int]]


class Pipeline(Protocol):
    """A model that is ready to run on one device.

    A picture's result must not depend on its company: the same picture gives the same bytes alone, in any
    batch and at any place in it.
    """

    def encode_style(self, references: Sequence[Tensor]) -> Tensor | None:
        """Turn reference pictures, each uint8 [3, h, w] of any size, into the code that `run` takes.

        Done once per job and worker. None from a model that needs no style.
        """
        ...

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return uint8 [N, 3, H, W], same shape as `batch.images`; the padding's content is undefined.

        `parameters` are complete and checked against the model's card.
        """
        ...


@runtime_checkable
class TiledPipeline(Pipeline, Protocol):
    """A pipeline that can also take a picture to the device piece by piece."""

    def run_tiled(self, picture: Tensor, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Restyle one picture that the device cannot hold: uint8 [3, h, w] in memory -> the same, in memory.

        The bytes are those of `run`: no seam is to be seen where two pieces meet.
        """
        ...
