"""`attribute_reader`: says which words fit a picture (`worker.networks.attribute_reader`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.attribute_reader import AttributeReader as Network

BATCH = 64  # pictures looked at together


class AttributeReader:
    """Reads pictures on one device."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self.side_px = network.side_px
        self.attributes: Mapping[str, Sequence[str]] = network.attributes

    @torch.inference_mode()
    def features(self, pictures: Tensor) -> Tensor:
        """Return what pictures show, to compare them by: uint8 [N, 3, h, w] -> float [N, features]."""
        return torch.cat([self._network.features(part) for part in self._parts(pictures)])

    @torch.inference_mode()
    def read(self, pictures: Tensor) -> dict[str, list[str]]:
        """Return for each attribute the word that fits each picture best. Pictures: uint8 [N, 3, h, w]."""
        found = [[scores.argmax(1) for scores in self._network(part)] for part in self._parts(pictures)]
        columns = [torch.cat(column).tolist() for column in zip(*found, strict=True)]
        return {
            name: [words[place] for place in column]
            for (name, words), column in zip(self.attributes.items(), columns, strict=True)
        }

    def _parts(self, pictures: Tensor) -> list[Tensor]:
        side = self.side_px
        parts = [part.to(self._device) / 255 for part in torch.split(pictures, BATCH)]
        return [
            part if part.shape[2:] == (side, side) else F.interpolate(part, (side, side), mode="area") for part in parts
        ]


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> AttributeReader:
    """Build the reader from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = Network(**config)
    network.load_state_dict(weights, strict=True)
    return AttributeReader(network, device)
