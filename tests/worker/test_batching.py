"""Batches: what goes through the model together, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.batching import BUCKET_PX, GROW_AFTER, Batcher, BatchSizes, bucket_of

SIDES = st.integers(1, 5000)


@given(height=SIDES, width=SIDES)
def test_a_bucket_holds_its_picture_and_little_more(height: int, width: int) -> None:
    padded = bucket_of(height, width)
    for side, padded_side in zip((height, width), padded, strict=True):
        assert padded_side % BUCKET_PX == 0
        assert 0 <= padded_side - side < BUCKET_PX


def all_due(batcher: Batcher[int], now: float, *, hungry: bool) -> list[list[int]]:
    return list(iter(lambda: batcher.due(now, hungry=hungry), None))


@given(
    arrivals=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.floats(0, 1), st.booleans()), max_size=60),
    size=st.integers(1, 8),
    pixels=st.integers(1, 8 * 64 * 64),
)
def test_every_picture_leaves_once_with_others_of_its_kind_and_in_order(
    arrivals: list[tuple[str, int, float, bool]], size: int, pixels: int
) -> None:
    batcher: Batcher[int] = Batcher(sizes=BatchSizes(size), pixels=pixels, hungry_seconds=0.1, longest_seconds=0.5)
    batches, moment, kinds = [], 0.0, {}
    for number, (key, blocks, pause, hungry) in enumerate(arrivals):
        moment += pause
        bucket = (64 * blocks, 64)
        kinds[number] = (key, bucket)
        full = batcher.add(key, bucket, number, moment)
        batches += ([full] if full else []) + all_due(batcher, moment, hungry=hungry)
    batches += all_due(batcher, moment + 0.5, hungry=False)
    assert sorted(number for batch in batches for number in batch) == list(range(len(arrivals)))
    for batch in batches:
        assert len({kinds[number] for number in batch}) == 1
        height, width = kinds[batch[0]][1]
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * height * width <= pixels
        assert batch == sorted(batch)
    assert not batcher.waiting


def test_a_lonely_picture_waits_no_longer_than_it_must() -> None:
    batcher: Batcher[str] = Batcher(sizes=BatchSizes(8), pixels=10**9, hungry_seconds=0.1, longest_seconds=2)
    assert batcher.add("recipe", (64, 64), "shoe", 10.0) is None
    assert batcher.waiting
    assert batcher.due(10.09, hungry=True) is None
    assert batcher.due(10.1, hungry=False) is None, "the device has enough to do: company may still come"
    assert batcher.due(10.1, hungry=True) == ["shoe"]
    assert batcher.add("recipe", (64, 64), "boot", 11.0) is None
    assert batcher.due(13.0, hungry=False) == ["boot"]


def test_a_size_that_did_not_fit_is_not_tried_again_soon() -> None:
    sizes = BatchSizes(8)
    sizes.did_not_fit("large", 8)
    assert (sizes.of("large"), sizes.of("small")) == (4, 8)
    batcher: Batcher[int] = Batcher(sizes=sizes, pixels=10**9, hungry_seconds=1, longest_seconds=1)
    sizes.did_not_fit(("recipe", (64, 64)), 4)
    assert batcher.add("recipe", (64, 64), 0, 0.0) is None
    assert batcher.add("recipe", (64, 64), 1, 0.0) == [0, 1]


def test_batches_that_were_made_before_a_size_was_learned_teach_nothing() -> None:
    sizes = BatchSizes(8)
    for size in (8, 8, 7, 5):
        sizes.did_not_fit("kind", size)
    assert sizes.of("kind") == 4


def test_sizes_grow_again_one_by_one_after_many_full_batches_that_fitted() -> None:
    sizes = BatchSizes(4)
    sizes.did_not_fit("kind", 4)
    for _ in range(GROW_AFTER - 1):
        sizes.did_fit("kind", 2)
        sizes.did_fit("kind", 1)  # says nothing about two
    assert sizes.of("kind") == 2
    sizes.did_fit("kind", 2)
    assert sizes.of("kind") == 3
    sizes.did_not_fit("kind", 3)
    assert sizes.of("kind") == 1


@given(events=st.lists(st.tuples(st.booleans(), st.integers(1, 8)), max_size=200))
def test_a_size_stays_between_one_and_what_is_configured(events: list[tuple[bool, int]]) -> None:
    sizes = BatchSizes(8)
    for fitted, size in events:
        (sizes.did_fit if fitted else sizes.did_not_fit)("kind", min(size, sizes.of("kind")))
        assert 1 <= sizes.of("kind") <= 8
