"""Runs pipelines that decide on one colour table per picture.

Every picture is looked at and changed by itself, inside its own region of the batch: that is what makes its bytes
independent of its company and of the padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from worker.networks.colour_table import apply_table, blend, keep_white
from worker.pipelines.base import Batch, Parameters

_TILE_PIXELS = 1 << 20


def run_by_table(batch: Batch, table_for: Callable[[Tensor], Tensor], parameters: Parameters) -> Tensor:
    """Apply to each picture the table that `table_for` (uint8 [3, h, w] -> [3, D, D, D]) gives for it.

    Parameters: `strength` and `keep_white`. Returns uint8 [N, 3, H, W]; the padding is as it came.

    Raises:
        ValueError: the batch is not uint8 [N, 3, H, W], or a size does not fit into it.

    """
    check(batch)
    result = batch.images.clone()
    for picture, into, (height, width) in zip(batch.images, result, batch.sizes, strict=True):
        region = picture[:, :height, :width]
        into[:, :height, :width] = apply_table(region, _wanted(table_for(region), parameters))
    return result


def run_by_table_tiled(picture: Tensor, table_for: Callable[[Tensor], Tensor], parameters: Parameters) -> Tensor:
    """Do the same to one picture, uint8 [3, h, w], that stays where it is: only strips of it go to the table's device.

    One table serves the whole picture and a pixel's result depends on its colour alone, so there are no seams.
    """
    table = _wanted(table_for(picture), parameters)
    result = torch.empty_like(picture, memory_format=torch.contiguous_format)
    rows = max(1, _TILE_PIXELS // picture.shape[2])
    for top in range(0, picture.shape[1], rows):
        strip = picture[:, top : top + rows].to(table.device)
        result[:, top : top + rows] = apply_table(strip, table)
    return result


def _wanted(table: Tensor, parameters: Parameters) -> Tensor:
    if parameters["keep_white"]:
        table = keep_white(table)
    return blend(table, float(parameters["strength"]))


def mean_code(references: Sequence[Tensor], code_of: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean of the references' codes, each with the same weight; `code_of` takes uint8 [3, h, w].

    Raises:
        ValueError: there are no references.

    """
    if not references:
        raise ValueError("a style needs at least one reference picture")
    return torch.stack([code_of(picture) for picture in references]).mean(0)


def needed(style: Tensor | None) -> Tensor:
    """Return the style, which this model cannot do without.

    Raises:
        ValueError: it is None.

    """
    if style is None:
        raise ValueError("this model needs a style: pass what encode_style returned")
    return style


def check(batch: Batch) -> None:
    """Raise ValueError unless the batch is what the contract says."""
    images = batch.images
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images are {images.dtype} {list(images.shape)}; expected uint8 [N, 3, H, W]")
    if len(batch.sizes) != len(images):
        raise ValueError(f"{len(images)} images came with {len(batch.sizes)} sizes")
    for height, width in batch.sizes:
        if not (0 < height <= images.shape[2] and 0 < width <= images.shape[3]):
            raise ValueError(f"size {height}x{width} does not fit a batch of {images.shape[2]}x{images.shape[3]}")
