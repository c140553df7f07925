"""Copies beside the computing: no picture is ever painted on another, and the device waits for nobody."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from worker.images import Picture
from worker.pipelines.base import Batch
from worker.transfers import Loaded, Restyled, Transfers
from worker.work import Work

SIDE = 512
SLEEP_CYCLES = 20_000_000  # some milliseconds of a GPU's time: the copies of later batches overtake the computing


def works(number: int) -> list[Work]:
    """Four pictures of one colour each, which no other batch has."""
    made = []
    for place in range(4):
        pixels = np.full((SIDE, SIDE, 3), (number * 4 + place) % 251, dtype=np.uint8)
        picture = Picture(pixels=pixels, alpha=None, source_format="png")
        work = Work(held=cast("Any", None), item=cast("Any", None), prepared=cast("Any", None), picture=picture)
        work.size = (SIDE, SIDE)
        made.append(work)
    return made


def compute(transfers: Transfers, loaded: Loaded, device: torch.device) -> Restyled:
    batch: Batch = transfers.bring(loaded)
    started, done = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    started.record(torch.cuda.current_stream(device))
    torch.cuda._sleep(SLEEP_CYCLES)
    images = 255 - batch.images
    done.record(torch.cuda.current_stream(device))
    return Restyled(loaded=loaded, images=images, started=started, done=done)


def test_no_batch_is_painted_on_another_while_copies_and_computing_overlap(device: torch.device) -> None:
    transfers = Transfers(device)
    underway: list[Restyled] = []
    for number in range(60):
        underway.append(compute(transfers, transfers.load(works(number)), device))
        if len(underway) > 2:
            check(transfers, underway.pop(0))
    for restyled in underway:
        check(transfers, restyled)


def check(transfers: Transfers, restyled: Restyled) -> None:
    seconds = transfers.unload(restyled)
    assert seconds is not None
    assert seconds > 0
    for work in restyled.loaded.works:
        assert work.picture is not None
        assert work.output is not None
        assert (work.output == 255 - work.picture.pixels).all()


def test_memory_let_go_too_early_would_be_handed_out_again(device: torch.device) -> None:
    """The trap that the classes are there for: without the references, the allocator gives the pixels away."""
    copies, computes = torch.cuda.Stream(device), torch.cuda.Stream(device)
    with torch.cuda.stream(copies):
        pixels = torch.full((64, 3, SIDE, SIDE), 7, dtype=torch.uint8, device=device)
        arrived = copies.record_event()
    with torch.cuda.stream(computes):
        computes.wait_event(arrived)
        torch.cuda._sleep(100 * SLEEP_CYCLES)
        result = pixels + 1
    place = pixels.data_ptr()
    del pixels  # while `computes` has not read it yet
    with torch.cuda.stream(copies):
        other = torch.full((64, 3, SIDE, SIDE), 99, dtype=torch.uint8, device=device)
    assert other.data_ptr() == place, "the allocator kept it: this test shows nothing any more"
    torch.cuda.synchronize(device)
    if (result == 8).all():
        pytest.skip("the computing was faster than the overwriting")
