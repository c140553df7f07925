"""Runs pipelines that decide on one colour table per picture, or on two that its places mix.

Every picture is looked at and changed by itself, inside its own region of the batch: that is what makes its bytes
independent of its company and of the padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.networks.colour_table import apply_between, apply_table, blend, keep_white
from worker.networks.local_light import LocalLight, lit
from worker.networks.protected_colours import protect
from worker.pipelines.base import Batch, Parameters

_TILE_PIXELS = 1 << 20

TableFor = Callable[[Tensor], Tensor]
"""The table [3, D, D, D] that a picture, uint8 [3, h, w], is to have at full strength."""


def run_by_table(
    batch: Batch, table_for: TableFor, parameters: Parameters, *, ordered: bool = False, light: LocalLight | None = None
) -> Tensor:
    """Apply to each picture its table, with `strength`, `keep_white` and what the batch protects.

    ordered: whether tables are brought into the order of luma (`worker.networks.colour_order`).
    light: makes of each table two, which places mix.
    Where a mask is neither 0 nor 255 product and background are mixed by it, so equal colours at one place under equal
    mask stay equal; without light the place does not matter. Returns uint8 [N, 3, H, W]; the padding is as it came.

    Raises:
        ValueError: the batch is not what its contract says.

    """
    check(batch)
    result = batch.images.clone()
    for number, region in enumerate(_regions(batch)):
        inside, outside = _looks(batch, table_for(region), parameters, ordered=ordered, light=light)
        height, width = batch.sizes[number]
        mask = None if batch.masks is None else batch.masks[number, :, :height, :width]
        result[number, :, :height, :width] = _apply(region, mask, inside, outside, (height, width), 0)
    return result


def run_by_table_tiled(
    batch: Batch, table_for: TableFor, parameters: Parameters, *, ordered: bool = False, light: LocalLight | None = None
) -> Tensor:
    """Do the same to the one picture of a batch that stays in memory: strips of it go to the table's device.

    The same tables serve the whole picture and a pixel's result depends on its colour, its mask and its place in the
    whole alone, so there are no seams.
    """
    check(batch)
    [region] = _regions(batch)
    inside, outside = _looks(batch, table_for(region), parameters, ordered=ordered, light=light)
    result = torch.empty_like(batch.images, memory_format=torch.contiguous_format)
    height, width = batch.sizes[0]
    rows = max(1, _TILE_PIXELS // width)
    for top in range(0, height, rows):
        strip = region[:, top : top + rows].to(inside.device)
        bottom = top + strip.shape[1]
        mask = None if batch.masks is None else batch.masks[0, :, top:bottom, :width].to(inside.device)
        result[0, :, top:bottom, :width] = _apply(strip, mask, inside, outside, (height, width), top)
    return result


def tables_of(batch: Batch, table_for: TableFor, parameters: Parameters, *, ordered: bool = False) -> Tensor:
    """Return the tables that `run_by_table` applies inside of products: float [N, 3, D, D, D], in [0, 1]."""
    check(batch)
    looks = [_looks(batch, table_for(region), parameters, ordered=ordered, light=None)[0] for region in _regions(batch)]
    return torch.stack([look.tables[0] for look in looks]).clamp(0, 1)


def _regions(batch: Batch) -> Iterator[Tensor]:
    for picture, (height, width) in zip(batch.images, batch.sizes, strict=True):
        yield picture[:, :height, :width]


@dataclass(frozen=True, slots=True)
class _Look:
    """What happens to a picture, or to one side of its mask."""

    tables: tuple[Tensor, ...]  # one [3, D, D, D], or those of the weakest and of the strongest light
    light: LocalLight | None

    @property
    def device(self) -> torch.device:
        return self.tables[0].device

    def apply(self, strip: Tensor, size: tuple[int, int], top: int) -> Tensor:
        """Return a strip of a picture of this size, from the row `top` on, with the look."""
        light = self.light
        if light is None:
            return apply_table(strip, self.tables[0])
        weakest, strongest = self.tables

        def shares(start: int, end: int) -> Tensor:
            return light.shares(size, top + start, top + end, strip.device)

        return apply_between(strip, weakest, strongest, shares)


def _looks(
    batch: Batch, table: Tensor, parameters: Parameters, *, ordered: bool, light: LocalLight | None
) -> tuple[_Look, _Look]:
    """Return the looks of the product and of the background."""
    strength = float(parameters["strength"])
    outer = strength if batch.masks is None or batch.background_strength is None else batch.background_strength
    tables = [table] if light is None else [lit(table, light.weakest), lit(table, light.strongest)]
    if parameters["keep_white"]:
        tables = [keep_white(each) for each in tables]

    def look(share: float) -> _Look:
        return _Look(tuple(protect(blend(t, share), batch.protected, ordered=ordered) for t in tables), light)

    inside = look(strength)
    return inside, inside if outer == strength else look(outer)


def _apply(
    strip: Tensor, mask: Tensor | None, inside: _Look, outside: _Look, size: tuple[int, int], top: int
) -> Tensor:
    found = inside.apply(strip, size, top)
    if mask is None or outside is inside:
        return found
    return mix(found, outside.apply(strip, size, top), mask)


def mix(product: Tensor, background: Tensor, mask: Tensor) -> Tensor:
    """Lay a product over a background, uint8 [3, h, w] each, by a mask uint8 [1, h, w].

    In whole numbers, rounded: at 255 and at 0 the bytes are those of the one or the other.
    """
    share = mask.int()
    return ((product.int() * share + background.int() * (255 - share) + 127) // 255).to(torch.uint8)


def mean_code(
    references: Sequence[Tensor], weights: Sequence[float] | None, code_of: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the mean of the references' codes; `code_of` takes uint8 [3, h, w].

    Raises:
        ValueError: there are no references, or not as many weights.

    """
    if not references:
        raise ValueError("a style needs at least one reference picture")
    codes = [code_of(picture) for picture in references]
    if weights is None or len(set(weights)) == 1:
        return torch.stack(codes).mean(0)
    total = sum(weights)
    shares = [code * (weight / total) for code, weight in zip(codes, weights, strict=True)]
    return torch.stack(shares).sum(0)


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
    masks, wanted = batch.masks, (len(images), 1, *images.shape[2:])
    if masks is not None and (masks.dtype != torch.uint8 or masks.shape != wanted):
        raise ValueError(f"masks are {masks.dtype} {list(masks.shape)}; expected uint8 {list(wanted)}")
