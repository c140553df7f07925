"""`super_resolution`: enlarges pictures by a network (`worker.networks.super_resolution`), tile by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.super_resolution import SuperResolutionNetwork
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check
from worker.pipelines.tiles import tiles

TILE_PX = 192  # of the small picture; chosen: 30 MB of features, and a fifth of the work is for surroundings


class SuperResolution:
    """The pipeline; see `worker.pipelines.base.Pipeline`, but for the size of what comes out."""

    def __init__(
        self, network: SuperResolutionNetwork, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        # Channels last: on a CPU the convolutions take three quarters of the time.
        network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of torch's stub
        self._network = network.eval()
        self._device = device
        self._dtype = dtype
        self.scale = network.scale  # times as wide and as high

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        """Return None: it needs no style."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Enlarge the pictures: uint8 [N, 3, scale H, scale W], sizes alike. The padding is black.

        Raises:
            ValueError: the batch is not what its contract says.

        """
        check(batch)
        count, channels, height, width = batch.images.shape
        result = batch.images.new_zeros(count, channels, self.scale * height, self.scale * width)
        for number, (own_height, own_width) in enumerate(batch.sizes):
            picture = batch.images[number, :, :own_height, :own_width]
            for tile in tiles(own_height, own_width, side=TILE_PX, around=self._network.reach_px):
                seen = tile.cut(picture).to(self._device) / 255
                found = self._enlarge(seen[None])[0]
                pixels = (tile.middle(found, self.scale) * 255).round().clamp(0, 255).to(torch.uint8)
                result[number][(slice(None), *tile.place(self.scale))] = pixels
        return result

    def compile(self) -> None:
        """Have the network compiled: all tiles have one shape."""
        self._network.compile(dynamic=False)

    def _enlarge(self, tile: Tensor) -> Tensor:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not torch.float32):
            found: Tensor = self._network(tile)
        return found.float()

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Enlarge one picture that stays in memory, as its result does: only tiles go to the device."""
        return self.run(batch, style, parameters)


def load(
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> SuperResolution:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = SuperResolutionNetwork(**config)
    network.load_state_dict(weights, strict=True)
    return SuperResolution(network, device, dtype)
