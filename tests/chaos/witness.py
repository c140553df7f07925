"""What a worker under test does beside its work: it tells a file each start and each effect, and dies when asked.

The seam: this wraps functions of the product from outside, in the worker's own process, before it starts. Nothing in
the product knows of it. Facts go to the file that CHAOS_WITNESS names, each in one write to an O_APPEND descriptor,
so the lines of all workers are whole, and in the order in which they happened.

What is recorded is told twice: `settling` before the commit and `settled` after it. A worker that dies in between
has told only the first; the second, twice for one item, would be an effect that happened twice.

CHAOS_DIE_AT names a point and CHAOS_DIE_ON the how-manieth passage of it at which the worker kills itself; with
CHAOS_DIE_GENTLY it asks itself to stop there, and goes on.
CHAOS_ITEM_SECONDS makes the model that much slower per item. Sources named `…-poison-segfault.jpg` and so on do
to the worker what their name says. CHAOS_CLOCK is by how many seconds this process's clock is wrong.
CHAOS_WEBHOOK_PAUSES shortens the pauses between tries of a webhook's message to such a share.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

POINTS = (
    "claimed, before the commit",
    "claimed",
    "picture read",
    "picture decoded",
    "batch loaded",
    "model done",
    "picture encoded",
    "picture written",
    "settled, before the commit",
    "settled",
    "files written",
    "ended, before the commit",
    "ended",
)
PRODUCT = ("api", "jobs", "worker")


class Witness:
    """Writes down what happens, and dies where it should."""

    def __init__(self) -> None:
        path = os.environ["CHAOS_WITNESS"]
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self._die_at = os.environ.get("CHAOS_DIE_AT")
        self._die_on = int(os.environ.get("CHAOS_DIE_ON", "1"))
        self._gently = "CHAOS_DIE_GENTLY" in os.environ
        self._lock = threading.Lock()
        self._passages = 0

    def note(self, event: str, **facts: Any) -> None:
        line = {"event": event, "pid": os.getpid(), "at": time.monotonic_ns(), **facts}
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def pass_point(self, point: str) -> None:
        """Die here, if this is the point and the passage."""
        if point != self._die_at:
            return
        with self._lock:
            self._passages += 1
            if self._passages == self._die_on:
                self.note("died", point=point)
                os.kill(os.getpid(), signal.SIGTERM if self._gently else signal.SIGKILL)
                time.sleep(0.2 if self._gently else 60)


def install() -> None:
    """Wrap the worker's functions."""
    if clock := os.environ.get("CHAOS_CLOCK"):
        shift_clock(float(clock))
    if share := os.environ.get("CHAOS_WEBHOOK_PAUSES"):
        from jobs import retries

        retries.WEBHOOK_SECONDS = tuple(seconds * float(share) for seconds in retries.WEBHOOK_SECONDS)  # type: ignore[assignment]
    witness = Witness()
    _watch_commits(witness)
    _watch_leases(witness)
    _watch_stages(witness)
    _watch_finishing(witness)


def replace(original: Callable[..., Any], wrapper: Callable[..., Any]) -> None:
    """Put a wrapper wherever a module of the product holds the original."""
    places = [
        (module, name)
        for module_name, module in list(sys.modules.items())
        if module_name.partition(".")[0] in PRODUCT
        for name, value in list(vars(module).items())
        if value is original
    ]
    assert places, original
    for module, name in places:
        setattr(module, name, wrapper)


def _watch_commits(witness: Witness) -> None:
    """Tell what a transaction did before and after its commit; the wrappers below note it on the session."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    @event.listens_for(Session, "before_commit")
    def _before(session: Session) -> None:
        for name, facts in session.info.get("chaos", ()):
            if name == "settled":
                witness.note("settling", **facts)
            witness.pass_point(f"{name}, before the commit")

    @event.listens_for(Session, "after_commit")
    def _after(session: Session) -> None:
        for name, facts in session.info.pop("chaos", ()):
            witness.note(name, **facts)
            witness.pass_point(name)

    @event.listens_for(Session, "after_rollback")
    def _rolled_back(session: Session) -> None:
        session.info.pop("chaos", None)


def _will(session: Any, name: str, **facts: Any) -> None:
    session.info.setdefault("chaos", []).append((name, facts))


def _lease_facts(lease: Any) -> dict[str, Any]:
    return {
        "job": str(lease.job_id),
        "shard": lease.shard_no,
        "token": lease.token,
        "attempt": lease.attempt,
        "worker": str(lease.worker_id),
    }


def _watch_leases(witness: Witness) -> None:
    from jobs import leases

    claim, settle, release = _claim_function(), leases.settle, leases.release

    @functools.wraps(claim)
    def claiming(session: Any, *args: Any, **kwargs: Any) -> Any:
        claimed = claim(session, *args, **kwargs)
        for each in claimed:
            _will(session, "claimed", **_lease_facts(each.lease), items=[item.item_no for item in each.items])
        return claimed

    @functools.wraps(settle)
    def settling(session: Any, settlements: Any) -> Any:
        ended = settle(session, settlements)
        for each in settlements:
            facts = _lease_facts(each.lease) | {
                "items": {result.item_no: result.state.value for result in each.results}
            }
            if each.lease in ended:
                _will(session, "settled", **facts)
            else:
                witness.note("refused", **facts)
        return ended

    @functools.wraps(release)
    def releasing(session: Any, lease: Any, *args: Any, **kwargs: Any) -> Any:
        answer = release(session, lease, *args, **kwargs)
        _will(session, "released", **_lease_facts(lease))
        return answer

    replace(claim, claiming)
    replace(settle, settling)
    replace(release, releasing)


def _claim_function() -> Callable[..., Any]:
    module = sys.modules.get("jobs.claims") or sys.modules["jobs.leases"]
    found: Callable[..., Any] = module.claim
    return found


def _item_facts(work: Any) -> dict[str, Any]:
    return {"job": str(work.held.lease.job_id), "item": work.item.item_no, "token": work.held.lease.token}


def _watch_stages(witness: Witness) -> None:
    from worker.model_stage import ModelStage
    from worker.stages import Stages
    from worker.transfers import Transfers

    read, decode, encode, write = Stages.read, Stages.decode, Stages.encode, Stages.write
    load, unload, forward = Transfers.load, Transfers.unload, ModelStage._forward
    seconds = float(os.environ.get("CHAOS_ITEM_SECONDS", "0"))

    def reading(stages: Stages, work: Any) -> None:
        witness.note("started", **_item_facts(work))
        read(stages, work)
        witness.pass_point("picture read")

    def decoding(stages: Stages, work: Any) -> None:
        decode(stages, work)
        witness.pass_point("picture decoded")

    def encoding(stages: Stages, work: Any) -> None:
        encode(stages, work)
        witness.pass_point("picture encoded")

    def writing(stages: Stages, work: Any) -> None:
        sha256 = work.sha256
        write(stages, work)
        witness.note("written", **_item_facts(work), sha256=sha256)
        witness.pass_point("picture written")

    def forwarding(stage: ModelStage, loaded: Any) -> Any:
        time.sleep(seconds * len(loaded.works))
        _be_poisoned(witness, loaded.works)
        return forward(stage, loaded)

    def loading(transfers: Transfers, works: Any) -> Any:
        loaded = load(transfers, works)
        witness.pass_point("batch loaded")
        return loaded

    def unloading(transfers: Transfers, restyled: Any) -> Any:
        answer = unload(transfers, restyled)
        witness.pass_point("model done")
        return answer

    Stages.read, Stages.decode, Stages.encode, Stages.write = reading, decoding, encoding, writing  # type: ignore[method-assign]
    Transfers.load, Transfers.unload, ModelStage._forward = loading, unloading, forwarding  # type: ignore[method-assign]


def _be_poisoned(witness: Witness, works: Iterable[Any]) -> None:
    for work in works:
        poison = work.item.source_url.removesuffix(".jpg").partition("-poison-")[2]
        if not poison:
            continue
        witness.note("poisoned", **_item_facts(work), by=poison)
        if poison == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif poison == "memory":
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to who takes too much
        threading.Event().wait()  # hangs, or waits for the signal


def _watch_finishing(witness: Witness) -> None:
    from jobs import finishing, moves

    write_files, move = finishing._write_files, moves.move

    @functools.wraps(write_files)
    def writing(*args: Any, **kwargs: Any) -> Any:
        answer = write_files(*args, **kwargs)
        witness.note("files written")
        witness.pass_point("files written")
        return answer

    @functools.wraps(move)
    def moving(session: Any, job_id: Any, target: Any, **kwargs: Any) -> Any:
        moved = move(session, job_id, target, **kwargs)
        if moved and target.value == "ended":
            _will(session, "ended", job=str(job_id))
        return moved

    replace(write_files, writing)
    replace(move, moving)


def shift_clock(seconds: float) -> None:
    """Make this process's clock wrong: `time.time` and `datetime.datetime`, as far as Python asks them."""
    honest_time, honest_datetime = time.time, datetime.datetime
    shift = datetime.timedelta(seconds=seconds)

    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, honest_datetime)

    class Shifted(honest_datetime, metaclass=Meta):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return honest_datetime.now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return honest_datetime.now(datetime.UTC).replace(tzinfo=None) + shift

    time.time = lambda: honest_time() + seconds
    datetime.datetime = Shifted  # type: ignore[misc]
