"""One item on its way through the stages, and the budget for the pixels on the way."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.claims import ClaimedItem
from jobs.errors import GateBroken, JobsError, StorageError
from jobs.leases import FailedTry, ItemResult
from jobs.states import ItemState
from worker.held import HeldLease
from worker.images import Picture
from worker.pipelines.base import Wish
from worker.prepared import Prepared

MESSAGE_CHARACTERS = 500  # kept of an error's message


class Budget:
    """A bound on bytes in flight. Whoever holds some must never wait for more."""

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, amount_bytes: int) -> None:
        """Wait until there is room. One amount above the whole budget is let in alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + amount_bytes <= self._total)
            self._used += amount_bytes

    def release(self, amount_bytes: int) -> None:
        """Give room back."""
        with self._changed:
            self._used -= amount_bytes
            self._changed.notify_all()


@dataclass(slots=True, kw_only=True, eq=False)
class Work:
    """An item between claim and settlement. Only the stage that has it touches it."""

    held: HeldLease
    item: ClaimedItem
    prepared: Prepared
    files: tuple[bytes, ...] = ()  # of its source, as read: one, several of a sheet, none of a wish
    data: bytes = b""  # the file to write
    mask_data: bytes | None = None  # the file of its mask, where the manifest names one
    picture: Picture | None = None
    wish: Wish | None = None  # what is to be made, where the source is no picture
    mask: npt.NDArray[np.uint8] | None = None  # [H, W], where the recipe needs one
    output: npt.NDArray[Any] | None = (
        None  # uint8 [H, W, 3], sRGB-encoded; float [3, D, D, D] where a table is asked for
    )
    source_sha256: str | None = None
    source_bytes: int | None = None
    sha256: str | None = None
    written_bytes: int | None = None
    size: tuple[int, int] | None = None  # (height, width) in pixels
    milliseconds: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] | None = None  # what its picture has kept, by name
    rejection: GateBroken | None = None  # its picture is kept apart
    device_seconds: float | None = None  # its share of the time for which its batches held the device, failed ones too
    failed_tries: list[FailedTry] = field(default_factory=list)
    error: JobsError | None = None
    dropped: bool = False  # given back undone
    budget: Budget | None = None
    budget_bytes: int = 0

    @property
    def open(self) -> bool:
        """Whether the next stage has anything to do."""
        return self.error is None and not self.dropped

    def fail(self, error: JobsError) -> None:
        """End here, for a reason that the item's result will carry."""
        self.error = error
        self.free()

    def drop(self) -> None:
        """End here undone: the item stays pending."""
        self.dropped = True
        self.free()

    def postpone(self, error: StorageError) -> None:
        """End here undone, because storage did not answer; the error is kept."""
        self.failed_tries.append(FailedTry(item_no=self.item.item_no, code=str(error.code), message=str(error)))
        self.drop()

    def reserve(self, budget: Budget, amount_bytes: int) -> None:
        """Take room for the pixels, until `free`."""
        budget.acquire(amount_bytes)
        self.budget, self.budget_bytes = budget, amount_bytes

    def free(self) -> None:
        """Let go of pixels and bytes. Safe to call twice."""
        self.files, self.data = (), b""
        self.mask_data, self.picture, self.mask, self.output = None, None, None, None
        if self.budget is not None:
            self.budget.release(self.budget_bytes)
            self.budget = None

    def result(self, device_hour_cost: float = 0.0) -> ItemResult:
        """Say what became of the item. `device_hour_cost`: of an hour of the device, in any currency; 0: unknown."""
        height, width = self.size or (None, None)
        failed = self.error is not None
        fault = self.error or self.rejection
        on_device = self.device_seconds is not None
        seconds = round(self.device_seconds or 0.0, 6)
        cost = seconds * device_hour_cost / 3600
        return ItemResult(
            item_no=self.item.item_no,
            state=ItemState.FAILED if failed else ItemState.REJECTED if self.rejection else ItemState.SUCCEEDED,
            error_code=str(fault.code) if fault else None,
            error_message=str(fault)[:MESSAGE_CHARACTERS] if fault else None,
            source_sha256=self.source_sha256,
            source_bytes=self.source_bytes,
            sha256=None if failed else self.sha256,
            bytes=None if failed else self.written_bytes,
            height=height,
            width=width,
            milliseconds=self.milliseconds,
            device_seconds=seconds if on_device else None,
            cost=float(f"{cost:.6g}") if on_device and device_hour_cost else None,
            engine=self.prepared.engine.digest if on_device else None,
            measures=None if failed else self.measures,
        )
