"""Light stays lighter than dark, whatever a table or a network says; and the table is otherwise left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jobs.cards import CardShelf
from worker.checkpoints import load_pipeline
from worker.networks.colour_order import in_order, luma
from worker.networks.colour_table import apply_table, identity_table, look_up
from worker.pipelines.base import Batch, ProtectedColour
from worker.pipelines.reference_grade import ReferenceGrade

Seeds = st.integers(0, 2**32 - 1)


def wild_table(seed: int, side: int = 9) -> Tensor:
    """A table that folds colours over: the identity under large noise, some of it out of range."""
    noise = torch.randn(3, side, side, side, generator=torch.Generator().manual_seed(seed))
    return identity_table(side) + noise * 0.3


def ordered_pairs(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Colours uint8 [3, 1, count], no channel of the first above the second's."""
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 256, (2, 3, 1, count), dtype=np.uint8)
    return torch.from_numpy(np.minimum(a, b)), torch.from_numpy(np.maximum(a, b))


def luma_of(colours: Tensor) -> Tensor:
    return luma(colours.double() / 255)


@settings(max_examples=30, deadline=None)
@given(Seeds)
def test_what_is_as_bright_in_every_channel_stays_as_bright(seed: int) -> None:
    table = in_order(wild_table(seed))
    assert table.amin() >= 0
    assert table.amax() <= 1
    darker, lighter = ordered_pairs(seed, 4000)
    found = [look_up(table[None], c.flatten(1).T[None] / 255)[0].T for c in (darker, lighter)]
    assert (luma(found[1]) - luma(found[0])).min() > -1e-5  # between the lattice points too
    in_bytes = [luma_of(apply_table(colours, table)) for colours in (darker, lighter)]
    assert (in_bytes[1] - in_bytes[0]).min() >= -1.01 / 255  # what rounding to 8 bits may cost


def test_without_bringing_it_into_order_a_wild_table_turns_light_into_dark() -> None:
    darker, lighter = ordered_pairs(1, 4000)
    found = [luma_of(apply_table(colours, wild_table(1))) for colours in (darker, lighter)]
    assert (found[1] - found[0]).min() < -0.2


def test_a_table_that_rises_is_left_as_it_is() -> None:
    for table in (identity_table(33), identity_table(33) ** 1.7, identity_table(33) * 0.6 + 0.2):
        torch.testing.assert_close(in_order(table), table, atol=1e-6, rtol=0)
    assert torch.equal(in_order(identity_table(33)), identity_table(33))


def test_fixed_points_keep_their_colours_and_the_others_give_way() -> None:
    table = wild_table(3)
    fixed = torch.zeros(9, 9, 9, dtype=torch.bool)
    fixed[2:5, 3:6, 1:4] = True
    table[:, fixed] = identity_table(9)[:, fixed]
    found = in_order(table, fixed)
    assert torch.equal(found[:, fixed], table[:, fixed])
    assert all((luma(found).diff(dim=axis) >= -1e-6).all() for axis in (0, 1, 2))


@pytest.fixture(scope="module")
def grade() -> ReferenceGrade:
    pipeline = load_pipeline(CardShelf(), "reference-grade", torch.device("cpu"))
    assert isinstance(pipeline, ReferenceGrade)
    return pipeline


@settings(max_examples=25, deadline=None)
@given(
    seed=Seeds,
    strength=st.floats(0, 1),
    keep_white=st.booleans(),
    protected=st.lists(st.tuples(*3 * [st.integers(0, 255)]), max_size=2),
)
def test_the_shipped_grade_keeps_the_order_of_light_and_equal_colours_equal(
    grade: ReferenceGrade, seed: int, strength: float, keep_white: bool, protected: list[tuple[int, int, int]]
) -> None:
    """Whatever photo and reference, switches and protected colours: a random picture under a random style."""
    darker, lighter = ordered_pairs(seed, 1500)
    generator = torch.Generator().manual_seed(seed)
    reference = (
        torch.rand(3, 40, 40, generator=generator) ** (3 * torch.rand(3, 1, 1, generator=generator)) * 255
    ).byte()
    picture = torch.cat((darker, lighter, darker), dim=1)
    given_batch = Batch(
        images=picture[None],
        sizes=[(3, 1500)],
        protected=tuple(ProtectedColour(colour=colour, delta_e=2.0) for colour in protected),
    )
    parameters = {"strength": strength, "keep_white": keep_white}
    found = grade.run(given_batch, grade.encode_style([reference]), parameters)[0]
    assert (luma_of(found[:, 1]) - luma_of(found[:, 0])).min() >= -1.01 / 255
    assert torch.equal(found[:, 0], found[:, 2])
