"""`inpainting`: fills what masks mark, from the surroundings (`worker.networks.inpainting`).

Half of the picture is filled smoothly, as a whole; the picture itself tile by tile, smoothly and then by the network.
Tiles without a hole cost nothing. So a hole may be as large as it likes, and a picture, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.inpainting import REACH_PX, RELAXING, InpaintingNetwork, halved, relaxed, smooth
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check
from worker.pipelines.resizing import strips
from worker.pipelines.tiles import Tile, tiles

TILE_PX = 128  # of the middle; a multiple of the network's STEP, as is what is around, so that its grid lies alike
AROUND_PX = REACH_PX + RELAXING
NEAR_PX = 8  # chosen: as wide as letters' strokes


class Inpainting:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, network: InpaintingNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        """Return None: it needs no style."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Fill the pictures where their masks are above 0. Every other pixel comes back as it is.

        Raises:
            ValueError: the batch is not what its contract says, or has no masks.

        """
        check(batch)
        if batch.masks is None:
            raise ValueError("there are no masks: they say what is to be filled")
        result = batch.images.clone(memory_format=torch.contiguous_format)
        for number, (height, width) in enumerate(batch.sizes):
            hole = batch.masks[number, :, :height, :width] > 0
            if bool(hole.any()):
                self._fill(batch.images[number, :, :height, :width], hole, result[number])
        return result

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Fill one picture that stays in memory: only tiles, and smaller copies, go to the device."""
        return self.run(batch, style, parameters)

    def _fill(self, picture: Tensor, hole: Tensor, result: Tensor) -> None:
        """Fill the hole of one picture, uint8 [3, h, w], in the result."""
        guess = smooth(*_halved_in_strips(picture, hole, self._device))[0]
        height, width = picture.shape[1:]
        for tile in tiles(height, width, side=TILE_PX, around=AROUND_PX):
            place = (slice(None), *tile.place())
            if not bool(hole[place].any()):
                continue
            seen, missing = (
                tile.cut(picture).to(self._device)[None] / 255,
                tile.cut(hole).to(self._device)[None].float(),
            )
            filled = relaxed(seen, 1 - missing, _enlarged(guess, tile, height, width)[None])
            found = tile.middle(_as_around(self._network(filled, missing), filled)[0])
            pixels = (found * 255).round().clamp(0, 255).to(torch.uint8).to(result.device)
            result[place] = torch.where(hole[place], pixels, picture[place])


def _as_around(found: Tensor, filled: Tensor) -> Tensor:
    """Keep each pixel between the darkest and the lightest that are near: on a plain ground nothing is added."""
    size, beyond = 2 * NEAR_PX + 1, NEAR_PX
    highest = F.max_pool2d(filled, size, stride=1, padding=beyond)
    lowest = -F.max_pool2d(-filled, size, stride=1, padding=beyond)
    return found.clamp(lowest, highest)


def _halved_in_strips(picture: Tensor, hole: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return half of the size, float [1, 3, h, w] in [0, 1], and the hole in it, float [1, 1, h, w]; see `halved`."""
    parts = [
        halved(picture[None, :, top:end].to(device) / 255, (~hole[None, :, top:end]).to(device).float())
        for top, end in strips(*picture.shape[1:], step=2)
    ]
    return torch.cat([values for values, _ in parts], dim=2), 1 - torch.cat([known for _, known in parts], dim=2)


def _enlarged(small: Tensor, tile: Tile, height: int, width: int) -> Tensor:
    """Return what a tile shows of a picture of half the size, enlarged bilinearly, as the network was trained.

    Written out, so that no tile rounds otherwise than another.
    """
    for axis, at in ((1, tile.rows(height, small.device)), (2, tile.columns(width, small.device))):
        last = small.shape[axis] - 1
        near = (at // 2).clamp(max=last)
        far = (near + at % 2 * 2 - 1).clamp(0, last)
        small = 0.75 * small.index_select(axis, near) + 0.25 * small.index_select(axis, far)
    return small


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Inpainting:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = InpaintingNetwork(**config)
    network.load_state_dict(weights, strict=True)
    return Inpainting(network, device)
