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


def covariance(features: Tensor) -> Tensor:
    """Return which channels vary together, [N, C, C]: the Gram matrix but for what all places have in common."""
    return gram(features - features.mean((2, 3), keepdim=True))


def apart(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the distance of each of N tensors from the one that is wanted, ÷ that one's own length: [N]."""
    squares = (found - wanted).flatten(1).square().sum(1) / (wanted.flatten(1).square().sum(1) + _LEAST)
    return (squares + _LEAST).sqrt()


def style_apart(features: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Return how far features are from a manner's means [N, C] and covariances [N, C, C]: [N].

    Both say together what a Gram matrix says; apart, brightness does not drown texture.
    """
    return (apart(features.mean((2, 3)), means) + apart(covariance(features), covariances)) / 2


def total_variation(pictures: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours, a scalar: noise has much of it. Johnson et al., section 3.2."""
    down, across = (pictures.diff(dim=axis).square().mean() for axis in (2, 3))
    return down + across
