"""Likeness pixel by pixel (PSNR) and window by window (SSIM), of pictures and of their edges."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from worker.quality.looking import inner, luminance, steepness

EQUAL_DB = 99.0  # said of equal pictures, whose ratio has no end
_WINDOW_PX, _SIGMA_PX = 11, 1.5  # Wang et al. 2004, section III-B
_K1, _K2 = 0.01, 0.03
_LEAST_SPAN = 1e-3  # of gradients: below a quarter of an 8-bit step all is flat


def psnr_db(original: Tensor, restyled: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB, from 0 to 99: 99 where the pictures are equal."""
    error = float((original.float() - restyled.float()).square().mean()) / 255**2
    return min(-10 * math.log10(error), EQUAL_DB) if error > 0 else EQUAL_DB


def ssim(original: Tensor, restyled: Tensor, *, stride: int = 1) -> float:
    """Return the structural similarity of the luminances, from -1 to 1: 1 where they are equal.

    `stride`: only every n-th window of every n-th row is looked at; the mean of those is that of all but for chance.
    """
    return ssim_of(_both(original, restyled), stride=stride)


def ssim_of(lights: Tensor, *, stride: int = 1) -> float:
    """Return the same of both pictures' luminances, [2, h, w]."""
    return _mean_similarity(*lights, span=1.0, stride=stride)


def structure(original: Tensor, restyled: Tensor, mask: Tensor | None = None, *, stride: int = 1) -> float:
    """Return the structural similarity of the sizes of the luminance gradients inside the mask, from -1 to 1.

    1 where every edge of the product is where and what it was. It forgives a change of colour and light that leaves
    edges in their places; what happens to the background is not seen at all.
    """
    return structure_of(_both(original, restyled), mask, stride=stride)


def structure_of(lights: Tensor, mask: Tensor | None = None, *, stride: int = 1) -> float:
    """Return the same of both pictures' luminances, [2, h, w]."""
    edges = steepness(lights)
    weight = None
    if mask is not None:
        weight = inner(mask)
        edges = edges * weight
    span = max(float(edges.max()), _LEAST_SPAN)
    return _mean_similarity(*edges, span=span, stride=stride, weight=weight)


def _both(original: Tensor, restyled: Tensor) -> Tensor:
    return luminance(torch.stack((original, restyled)))


def _mean_similarity(a: Tensor, b: Tensor, *, span: float, stride: int, weight: Tensor | None = None) -> float:
    """Return the mean of Wang et al. 2004, "Image Quality Assessment", IEEE TIP 13(4), equation 13.

    a, b: [h, w] of values as far apart as `span`. weight: [h, w], how much each pixel counts; None: all the same.
    Departures from the paper: windows that do not lie inside the picture are left out, where the paper leaves that
    open; of a picture narrower than a window, the window is as narrow.
    """
    size = min(_WINDOW_PX, *a.shape)
    down, across = (_averaging(length, size, stride) for length in a.shape)
    stack = torch.stack((a, b, a * a, b * b, a * b))
    # A Gaussian window is the product of two, so its averages at all places are two products with a matrix: for a
    # processor far less work than to go from place to place.
    mean_a, mean_b, square_a, square_b, product = down @ stack @ across.T
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    covariance = product - mean_a * mean_b
    variances = square_a - mean_a**2 + square_b - mean_b**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)  # equation 13, above the line
    similarity = similarity / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    if weight is None:
        return float(similarity.mean())
    counted = down @ weight @ across.T
    total = float(counted.sum())
    return float((similarity * counted).sum()) / total if total > 0 else 1.0


@functools.lru_cache(maxsize=256)
def _averaging(length: int, size: int, stride: int) -> Tensor:
    """Return the matrix [places, length] of Gaussian windows, each `stride` further on. Not to be changed."""
    offsets = torch.arange(size) - (size - 1) / 2
    window = torch.exp(-offsets.square() / (2 * _SIGMA_PX**2))
    window /= window.sum()
    places = range(0, length - size + 1, stride)
    matrix = torch.zeros(len(places), length)
    for row, place in enumerate(places):
        matrix[row, place : place + size] = window
    return matrix
