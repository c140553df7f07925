"""How made pictures, as a set, compare with real ones: by features of a network that knows such pictures.

Features come from anywhere: from `worker.pipelines.attribute_reader`, or from a network of the user's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 3  # Kynkäänniemi et al.'s
_COPY = 0.25  # of the way from a new real picture to its nearest known one: nearer than this is a copy; chosen


def precision_and_recall(made: Tensor, real: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Return how much of what is made could be real, and how much of what is real could be made.

    Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models",
    arXiv:1904.06991, equation 1: a set reaches as far around each of its members as its third nearest neighbour is.
    made, real: float [N, features] and [M, features], each more than `neighbours`.
    """
    return _within(made, real, neighbours), _within(real, made, neighbours)


def _within(asked: Tensor, of: Tensor, neighbours: int) -> float:
    reach = torch.cdist(of, of).kthvalue(neighbours + 1, dim=1).values  # the nearest is itself
    return float((torch.cdist(asked, of) <= reach).any(1).float().mean())


def variety(made: Tensor, real: Tensor) -> float:
    """Return how far apart two made pictures are in the mean, as a share of two real ones: near 0 after a collapse."""
    return float(torch.pdist(made).mean() / torch.pdist(real).mean())


def nearness_to_known(made: Tensor, known: Tensor, unknown: Tensor) -> tuple[float, float]:
    """Tell whether made pictures are remembered ones: those that were trained on are `known`, others `unknown`.

    Return the median distance of what is made from the nearest known picture, as a share of the same for unknown
    real ones (1: as far as a new picture is), and which share of what is made is so near that it is a copy.
    """
    distances, usual = (torch.cdist(each, known).amin(1) for each in (made, unknown))
    middle = usual.median().clamp(min=1e-12)
    return float(distances.median() / middle), float((distances < _COPY * middle).float().mean())


def frechet_distance(made: Tensor, real: Tensor) -> float:
    """Return the Fréchet distance of two sets taken for normally distributed: Heusel et al. 2017, arXiv:1706.08500.

    It is the FID where the features are those of the network that the paper used, and there are enough of them.
    """
    (mean, spread), (wanted_mean, wanted) = (_spread(each.double()) for each in (made, real))
    # The trace of the root of a product of two spreads, which is wanted, is the sum of the roots of its eigenvalues.
    # With roots of both, these are squares of singular values: no large matrix is needed where there are few pictures.
    shared = torch.linalg.matrix_norm(spread @ wanted.T, "nuc")
    return float((mean - wanted_mean).square().sum() + spread.square().sum() + wanted.square().sum() - 2 * shared)


def _spread(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean [F], and what is a root [R, F] of the covariance: its transpose times itself."""
    mean = features.mean(0)
    root = (features - mean) / (len(features) - 1) ** 0.5
    return mean, torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root
