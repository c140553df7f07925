"""What `attribute_reader` learns: the words of pictures; see `worker.training.objectives`.

Cross-entropy for each attribute, with the labels smoothed (Szegedy et al. 2016, arXiv:1512.00567, section 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.attribute_reader import AttributeReader
from worker.networks.words import UNKNOWN
from worker.training.photos import Photos
from worker.training.pictures import SIDE_PX, Pictures, check_side, draw_pictures

SIZES: dict[str, int] = {"side_px": SIDE_PX, "width": 32, "features": 64}
_SHIFT_PX = 4
_SMOOTHING = 0.05  # chosen

CARD: dict[str, Any] = {
    "operation": "describe",
    "summary": "Reads the words of a product picture off it: kind, colour, material and others that it has learned.",
    "limits": [
        "It knows pictures like those that it was trained on, and gives a word to any other too.",
        "It sees a picture at 64 px: what is smaller than a pixel there is not seen.",
    ],
}


class AttributeReaderObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "attribute_reader"
    side_px = SIDE_PX
    probe_examples = 512
    headline = "held_out_accuracy"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> AttributeReader:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return AttributeReader(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Pictures:
        return draw_pictures(photos, count, generator, shift=_SHIFT_PX)

    def loss(self, network: AttributeReader, examples: Pictures) -> Tensor:
        losses = [
            F.cross_entropy(scores.float(), words, ignore_index=UNKNOWN, label_smoothing=_SMOOTHING)
            for scores, words in zip(network(examples.pixels), examples.words.unbind(1), strict=True)
            if (words != UNKNOWN).any()
        ]
        return torch.stack(losses).mean()

    @torch.inference_mode()
    def measure(self, network: AttributeReader, examples: Pictures) -> dict[str, float]:
        """Return the share of words that are right, of each attribute and in the mean."""
        figures = {}
        found = zip(network.attributes, network(examples.pixels), examples.words.unbind(1), strict=True)
        for name, scores, words in found:
            known = words != UNKNOWN
            if not known.any():
                continue
            figures[f"held_out_accuracy_{name}"] = float((scores.argmax(1) == words)[known].float().mean())
        return {**figures, "held_out_accuracy": sum(figures.values()) / len(figures)}

    @torch.inference_mode()
    def sample(self, network: AttributeReader, examples: Pictures) -> dict[str, Tensor]:
        """Return nothing but the pictures: what is read off them are words."""
        return {"picture": examples.first(8).pixels}
