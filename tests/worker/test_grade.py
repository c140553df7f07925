"""The network of `reference-grade`, before any training."""

import pytest
import torch
from torch import Tensor

from worker.networks.colour_table import identity_table
from worker.networks.grade import GradeNetwork, colour_histogram, colour_quantiles


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> GradeNetwork:
    torch.manual_seed(0)
    return GradeNetwork()


def test_the_network_is_small_enough_to_ship(network: GradeNetwork) -> None:
    assert 500_000 <= sum(p.numel() for p in network.parameters()) < 1_000_000  # under 4 MB as float32


def test_an_untrained_network_hardly_changes_a_colour(network: GradeNetwork) -> None:
    codes = network.encode(pictures(2))
    for tables in network.tables(codes[:1], codes[1:], torch.zeros(1, 1)):
        assert (tables - identity_table(tables.shape[-1])).abs().max() < 0.05


def test_tables_follow_both_codes(network: GradeNetwork) -> None:
    codes = network.encode(torch.stack((pictures(1)[0], pictures(1)[0] * 0.3)))
    off, on = network.tables(codes, codes.flip(0), torch.zeros(2, 1))
    assert not torch.equal(off[0], off[1])
    assert not torch.equal(on[0], on[1])


def test_what_is_to_become_of_white_changes_the_grade_and_not_what_comes_off(network: GradeNetwork) -> None:
    codes = network.encode(pictures(2))
    off, on = network.tables(codes[:1].expand(2, -1), codes[1:].expand(2, -1), torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(off[0], off[1], atol=1e-5, rtol=0)
    assert (on[0] - on[1]).abs().max() > 1e-4


def test_every_parameter_learns(network: GradeNetwork) -> None:
    content, style = network.encode(pictures(4)).chunk(2)
    network(content, style, torch.ones(2, 1), torch.rand(2, 50, 3))[1].square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_a_histogram_holds_every_pixel_once() -> None:
    shares = colour_histogram(pictures(3)).square().sum(1)
    torch.testing.assert_close(shares, torch.ones(3), atol=1e-3, rtol=0)


def test_statistics_of_colour_do_not_see_where_colours_stand() -> None:
    picture = torch.rand(1, 3, 24, 24).repeat_interleave(2, 2).repeat_interleave(2, 3)
    mirrored = picture.flip(3)
    torch.testing.assert_close(colour_quantiles(picture), colour_quantiles(mirrored))
    torch.testing.assert_close(colour_histogram(picture), colour_histogram(mirrored))


def test_black_white_and_grey_pictures_have_finite_codes_and_gradients(network: GradeNetwork) -> None:
    flat = torch.stack([torch.full((3, 48, 48), value) for value in (0.0, 0.5, 1.0)])
    codes = network.encode(flat)
    codes.sum().backward()
    assert codes.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
