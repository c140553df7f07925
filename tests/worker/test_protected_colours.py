"""A brand's colour stays within its ΔE2000, and so do the colours that are very near to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from worker.networks.colour import delta_e_2000, srgb_to_lab
from worker.networks.colour_table import apply_table, identity_table
from worker.networks.protected_colours import NEAR, ProtectedColour, protect

RED = (0xC8, 0x10, 0x2E)
Colours = st.tuples(*3 * [st.integers(0, 255)])


def bold_table(seed: int) -> Tensor:
    """A strong, smooth look: a random tone curve per channel and a cast."""
    random = torch.Generator().manual_seed(seed)
    powers = torch.rand(3, 1, 1, 1, generator=random) * 2 + 0.4
    cast = torch.rand(3, 1, 1, 1, generator=random) * 0.4 - 0.2
    plain = identity_table()
    return plain**powers + cast + (plain.mean(0) - plain) * torch.rand(1, generator=random)


def neighbours(colour: tuple[int, int, int]) -> Tensor:
    """All colours [3, 1, N] around one that count as very near to it."""
    low, high = (np.clip(np.array(colour) + step, 0, 255) for step in (-9, 10))
    box = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True))), 0).reshape(3, -1)
    lab = srgb_to_lab(torch.from_numpy(box.T / 255))
    away = (lab - srgb_to_lab(torch.tensor(colour, dtype=torch.float64) / 255)) * torch.tensor([0.5, 1, 1])
    return torch.from_numpy(box)[:, None, away.square().sum(1).sqrt() <= NEAR].byte()


def moved(colours: Tensor, table: Tensor) -> float:
    found = apply_table(colours, table)
    a, b = (rgb2lab(t[:, 0].T.numpy()[None]) for t in (colours, found))
    return float(deltaE_ciede2000(a, b).max())


@settings(max_examples=40, deadline=None)
@given(colour=Colours, delta_e=st.sampled_from([1.0, 2.0, 5.0]), seed=st.integers(0, 10**6), ordered=st.booleans())
def test_a_protected_colour_and_its_neighbours_stay_within_their_bound(
    colour: tuple[int, int, int], delta_e: float, seed: int, ordered: bool
) -> None:
    table = protect(bold_table(seed), [ProtectedColour(colour=colour, delta_e=delta_e)], ordered=ordered)
    # Rounding to 8 bits moves colours too, dark ones by more: up to 0.6 where nothing else does.
    assert moved(neighbours(colour), table) <= delta_e + 0.6


def test_without_protection_the_same_look_takes_the_brands_red_away_and_with_it_the_rest_still_changes() -> None:
    table = bold_table(1)
    red = torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1)
    assert moved(red, protect(table, [], ordered=True)) > 10
    found = protect(table, [ProtectedColour(colour=RED, delta_e=2.0)], ordered=True)
    assert moved(red, found) <= 2.0
    blue = torch.tensor((40, 90, 200), dtype=torch.uint8).view(3, 1, 1)
    assert moved(blue, found) > 5


def test_two_protected_colours_hold_both() -> None:
    colours = [ProtectedColour(colour=RED, delta_e=1.0), ProtectedColour(colour=(0, 70, 160), delta_e=3.0)]
    table = protect(bold_table(2), colours, ordered=True)
    for each in colours:
        assert moved(neighbours(each.colour), table) <= each.delta_e + 0.6


def test_the_blend_about_a_protected_colour_leaves_no_step() -> None:
    """Along every straight way through the colour, neighbouring lattice points differ by a few times a plain step."""
    table = protect(bold_table(1), [ProtectedColour(colour=RED, delta_e=2.0)], ordered=True)
    plain = bold_table(1).clamp(0, 1)
    for axis in (1, 2, 3):
        assert table.diff(dim=axis).abs().max() <= 4 * plain.diff(dim=axis).abs().max()


def test_delta_e_2000_is_that_of_scikit_image_and_of_the_papers_pairs() -> None:
    random = np.random.default_rng(0)
    a, b = (random.uniform((0, -110, -110), (100, 110, 110), (3000, 3)) for _ in range(2))
    a[:50, 1:] = 0  # greys
    b[25:75, 1:] = 0
    found = delta_e_2000(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, deltaE_ciede2000(a, b), atol=1e-6)
    paper = torch.tensor([[50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485]], dtype=torch.float64)
    assert delta_e_2000(paper[0], paper[1]).item() == pytest.approx(2.0425, abs=1e-4)
