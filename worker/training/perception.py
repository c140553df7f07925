"""Losses by a teacher's features: what a picture shows, and in what manner.

Features are [N, C, H, W], float32. Each distance is divided by the length of what is wanted, so that layers count alike
and 1 is far.
"""

from __future__ import annotations

from torch import Tensor

_LEAST = 1e-8


def gram(features: Tensor) -> Tensor:
    """Return which channels go together, [N, C, C].

    Gatys, Ecker & Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", equation 3, divided by
    the number of places, so that pictures of any size compare.
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def apart(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the distance of each of N tensors from the one that is wanted, ÷ that one's own length: [N]."""
    squares = (found - wanted).flatten(1).square().sum(1) / (wanted.flatten(1).square().sum(1) + _LEAST)
    return (squares + _LEAST).sqrt()


def sliced_apart(features: Tensor, wanted: Tensor, directions: Tensor) -> Tensor:
    """Return how far the distribution of features [N, C, P] is from that of those that are wanted, [N, C, P]: [N].

    Heitz et al. 2021, "A Sliced Wasserstein Loss for Neural Texture Synthesis", arXiv:2006.07229, equation 3: both,
    seen along each of K directions [C, K], are put in order and compared. Divided by how much what is wanted varies.
    """
    found, sought = ((directions.T @ each).sort(dim=2).values for each in (features, wanted))
    spread = sought.var(2, correction=0).mean(1)
    return ((found - sought).square().mean((1, 2)) / (spread + _LEAST) + _LEAST).sqrt()


def total_variation(pictures: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours, a scalar: noise has much of it. Johnson et al., section 3.2."""
    down, across = (pictures.diff(dim=axis).square().mean() for axis in (2, 3))
    return down + across
