"""Colour spaces and colour tables, against scikit-image and against the definition."""

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from worker.networks.colour import lab_to_srgb, srgb_to_lab
from worker.networks.colour_table import (
    apply_table,
    blend,
    identity_table,
    keep_white,
    lattice_colours,
    look_up,
    table_of_colours,
)


def colours(count: int) -> Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def picture(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def rough_table() -> Tensor:
    return identity_table() + torch.randn(3, 33, 33, 33, generator=torch.Generator().manual_seed(3)) * 0.1


def test_lab_agrees_with_scikit_image() -> None:
    some = colours(500)
    assert np.abs(srgb_to_lab(some).numpy() - rgb2lab(some.numpy())).max() < 0.01


def test_lab_and_back_is_the_same_colour() -> None:
    some = colours(500)
    torch.testing.assert_close(lab_to_srgb(srgb_to_lab(some)), some, atol=1e-6, rtol=0)
    lab = rgb2lab(some.numpy())
    assert np.abs(lab_to_srgb(torch.from_numpy(lab)).numpy() - lab2rgb(lab)).max() < 1e-3


def test_the_identity_table_changes_no_colour() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    grid = torch.stack(torch.meshgrid(every[::5], every[::3], every, indexing="ij")).flatten(2)
    assert torch.equal(apply_table(grid, identity_table()), grid)


def test_a_table_made_of_its_own_lattice_is_the_identity() -> None:
    assert torch.equal(table_of_colours(lattice_colours()), identity_table())


def test_a_table_is_applied_trilinearly() -> None:
    table, some = rough_table(), picture(61, 83)
    exact = look_up(table.double()[None], some.flatten(1).T.double()[None] / 255)[0].T.reshape(3, 61, 83)
    found = apply_table(some, table).double()
    # A float's error may tip a value that lies on the half; nothing else may differ.
    assert (found - exact.clamp(0, 1) * 255).abs().max() < 0.5 + 1e-3


def test_equal_colours_stay_equal_wherever_they_stand() -> None:
    table = rough_table()
    few = picture(1, 50)[:, 0]
    places = torch.randint(0, 50, (997, 1103), generator=torch.Generator().manual_seed(4))  # more than one strip
    large = apply_table(few[:, places], table)
    assert torch.equal(large, apply_table(few[:, None], table)[:, 0][:, places])


def test_a_table_may_go_beyond_white_and_black() -> None:
    table = identity_table() * 3 - 1
    assert apply_table(torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1).repeat(3, 1, 1), table)[
        0
    ].flatten().tolist() == [0, 129, 255]


def test_keeping_white_leaves_other_colours_to_the_table() -> None:
    table = keep_white(identity_table() * 0.5)
    assert torch.equal(table[:, -1, -1, -1], torch.ones(3))
    torch.testing.assert_close(table[:, 16, 16, 16], torch.full((3,), 0.25))  # middle grey
    torch.testing.assert_close(table[:, 0, 32, 32], torch.tensor([0.5, 0.5, 0.0]))  # bright yellow


def test_strength_goes_evenly_from_the_photo_to_the_look() -> None:
    table = rough_table()
    assert torch.equal(blend(table, 0), identity_table())
    assert torch.equal(blend(table, 1), table)
    torch.testing.assert_close(blend(table, 0.5), (table + identity_table()) / 2)
