"""How different two pictures look, and how near a picture's texture is to a style's, to a trained eye."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.vgg import VggFeatures
from worker.quality.looking import scaled

_SIDE_PX = 256  # longer side that is looked at
_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # Zhang et al. 2018, of VGG
_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")  # Huang & Belongie 2017, section 6.1
_LEAST = 1e-8


@torch.inference_mode()
def perceptual_distance(original: Tensor, restyled: Tensor, teacher: VggFeatures, mask: Tensor | None = None) -> float:
    """Return how different the product looks, from 0 to 1: 0 where the pictures are equal.

    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", arXiv:1801.03924,
    equation 1. Departures: every channel has the same weight, where the paper learns them; the squared distance of
    two unit vectors is halved, so that 1 is the most; layers count alike.
    """
    device = next(teacher.parameters()).device
    before, after = (teacher(scaled(each.to(device), _SIDE_PX), _LAYERS) for each in (original, restyled))
    product = None if mask is None else scaled(mask.expand(3, -1, -1).to(device), _SIDE_PX)[:, :1]
    distances = [_apart(before[layer], after[layer], product) for layer in _LAYERS]
    return sum(distances) / len(distances)


@torch.inference_mode()
def feature_style_distance(picture: Tensor, references: Sequence[Tensor], teacher: VggFeatures) -> float:
    """Return how far a picture's features are from those of a style's pictures in mean and deviation: 0 where equal.

    Huang & Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
    arXiv:1703.06868, equation 13. Departures: each layer's distance is divided by the style's own length, so that
    layers count alike and 1 is as far as a picture without any features; several pictures count as one.
    """
    device = next(teacher.parameters()).device
    found = _statistics(teacher(scaled(picture.to(device), _SIDE_PX), _STYLE_LAYERS))
    each = [_statistics(teacher(scaled(reference.to(device), _SIDE_PX), _STYLE_LAYERS)) for reference in references]
    distances = []
    for number, statistics in enumerate(found):
        wanted = torch.stack([of_one[number] for of_one in each]).mean(0)
        distances.append(float((statistics - wanted).norm() / wanted.norm().clamp(min=_LEAST)))
    return sum(distances) / len(distances)


def _apart(before: Tensor, after: Tensor, product: Tensor | None) -> float:
    """Return half the mean squared distance of the unit vectors at each place, [1, C, h, w]."""
    squares = (F.normalize(before, dim=1, eps=_LEAST) - F.normalize(after, dim=1, eps=_LEAST)).square().sum(1) / 2
    if product is None:
        return float(squares.mean())
    counted = F.adaptive_avg_pool2d(product, (squares.shape[1], squares.shape[2]))[:, 0]
    total = float(counted.sum())
    return float((squares * counted).sum()) / total if total > 0 else 0.0


def _statistics(features: dict[str, Tensor]) -> list[Tensor]:
    """Return mean and deviation of every channel of each layer: [2 C]."""
    return [torch.cat((values.mean((0, 2, 3)), values.std((0, 2, 3), correction=0))) for values in features.values()]
