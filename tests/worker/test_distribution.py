"""Measures of made pictures as a set, on sets of which the truth is known."""

import pytest
import torch
from torch import Tensor

from worker.quality.distribution import frechet_distance, nearness_to_known, precision_and_recall, variety


def cloud(count: int, seed: int, *, middle: float = 0.0, width: float = 1.0) -> Tensor:
    return middle + width * torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def test_sets_from_one_source_cover_one_another() -> None:
    precision, recall = precision_and_recall(cloud(300, 1), cloud(300, 2))
    assert precision > 0.8
    assert recall > 0.8


def test_what_lies_elsewhere_is_neither_precise_nor_recalls() -> None:
    assert precision_and_recall(cloud(100, 1, middle=30.0), cloud(100, 2)) == (0.0, 0.0)


def test_a_narrow_set_is_precise_and_recalls_little_and_a_wide_one_the_other_way_round() -> None:
    precision, recall = precision_and_recall(cloud(300, 1, width=0.2), cloud(300, 2))
    assert precision > 0.9
    assert recall < 0.2
    precision, recall = precision_and_recall(cloud(300, 1, width=6.0), cloud(300, 2))
    assert precision < 0.3
    assert recall > 0.9


def test_a_collapse_is_told() -> None:
    real = cloud(100, 2)
    assert variety(cloud(100, 1), real) == pytest.approx(1, abs=0.15)
    assert variety(real[:1] + cloud(100, 3, width=0.01), real) < 0.02


def test_copies_of_known_pictures_are_told_from_new_ones() -> None:
    known, unknown = cloud(300, 1), cloud(100, 2)
    share, copies = nearness_to_known(cloud(100, 3), known, unknown)
    assert share == pytest.approx(1, abs=0.2)
    assert copies < 0.05
    share, copies = nearness_to_known(known[:100] + cloud(100, 4, width=0.01), known, unknown)
    assert share < 0.1
    assert copies == 1.0


def test_the_frechet_distance_is_that_of_normal_distributions() -> None:
    real = cloud(20_000, 1)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(cloud(20_000, 2, middle=2.0), real) == pytest.approx(6 * 4, rel=0.03)
    assert frechet_distance(cloud(20_000, 3, width=2.0), real) == pytest.approx(6 * (2 - 1) ** 2, rel=0.1)
