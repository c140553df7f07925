"""The convolutions of VGG16: what a trained eye sees in a picture. A teacher for training, and for measuring.

Simonyan & Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556,
configuration D without its classifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and channels of each block
LAYERS = tuple(f"relu{block}_{number}" for block, (count, _) in enumerate(BLOCKS, 1) for number in range(1, count + 1))
_MEAN = (104.00699, 116.66877, 122.67892)  # of blue, green, red in 0 … 255, over ImageNet; as Caffe has it


class VggFeatures(nn.Module):
    """Pictures in, the features of chosen layers out."""

    def __init__(self, *, narrower: int = 1) -> None:
        """Make a network without knowledge.

        Args:
            narrower: how many times fewer channels each layer has; 1: as published, others for tests.

        """
        super().__init__()
        self.convolutions = nn.ModuleDict()
        inputs = 3
        for block, (count, channels) in enumerate(BLOCKS, 1):
            for number in range(1, count + 1):
                outputs = channels // narrower
                self.convolutions[f"conv{block}_{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
                inputs = outputs

    def forward(self, pictures: Tensor, layers: Sequence[str]) -> Mapping[str, Tensor]:
        """Return features by layer: float [N, 3, H, W], sRGB in [0, 1] -> [N, C, H / 2ⁿ, W / 2ⁿ] each.

        Layers are named `relu1_1` to `relu5_3`; nothing is computed beyond the deepest one that is asked for.

        Raises:
            ValueError: there is no such layer.

        """
        if unknown := set(layers) - set(LAYERS):
            raise ValueError(f"there is no layer {', '.join(sorted(unknown))}: choose from {', '.join(LAYERS)}")
        found: dict[str, Tensor] = {}
        values = pictures.flip(1) * 255 - pictures.new_tensor(_MEAN).view(1, 3, 1, 1)
        for layer in LAYERS[: max(map(LAYERS.index, layers), default=-1) + 1]:
            if layer.endswith("_1") and layer != "relu1_1":
                values = F.max_pool2d(values, 2, ceil_mode=True)  # so that no side becomes nothing
            values = F.relu(self.convolutions[layer.replace("relu", "conv")](values))
            if layer in layers:
                found[layer] = values
        return found
