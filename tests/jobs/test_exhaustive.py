"""R21: every interleaving of two workers over two shards, and any number of claims, with the product's own functions.

Each state of the database is kept as SQLite's own bytes and every possible next step is taken from each, breadth
first, so a counter-example is as short as can be. Interleavings inside a transaction are the database's to forbid.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import and_, create_engine, event
from sqlalchemy.pool import StaticPool

from jobs import claims, controls, leases
from jobs.database import Database
from jobs.errors import LeaseLost
from jobs.leases import ItemResult, Lease
from jobs.records import Record, ShardRecord
from jobs.states import ItemState
from jobs.tenants import Tenant
from tests import factories
from tests.factories import make_job

WORKERS = (uuid.UUID(int=1), uuid.UUID(int=2))
TENANT = Tenant(id="default", allowed_prefixes=())
SCOPES = ((2, 1), (2, 2))  # items, and items of a shard: two shards to choose from; one that may be halved
CANCEL = "a person cancels"
LONG_AGO = "2000-01-01 00:00:00.000000"

Held = tuple[Lease, tuple[int, ...]] | None  # what a worker believes to have: a lease, and items not yet recorded


@dataclass(frozen=True)
class Node:
    """A state of the world: the database, and what each worker believes."""

    image: bytes
    held: tuple[Held, ...]
    path: tuple[str, ...]


class Broken(Exception):
    """A promise was broken."""


class World:
    """One database in memory that can be put into any earlier state."""

    def __init__(self, items: int, shard_items: int) -> None:
        self.database = Database.__new__(Database)
        self.database.engine = create_engine("sqlite://", poolclass=StaticPool)

        @event.listens_for(self.database.engine, "connect")
        def _prepare(connection: Any, _: object) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA page_size=512")

        @event.listens_for(self.database.engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        Record.metadata.create_all(self.database.engine)
        with self.database.transaction() as session:
            self.job_id = make_job(session, items=items, shard_size=shard_items).id
        connection = self.database.engine.raw_connection().driver_connection
        assert isinstance(connection, sqlite3.Connection)
        self.connection = connection

    def start(self) -> Node:
        return Node(self.connection.serialize(), (None, None), ())

    def key(self, held: tuple[Held, ...]) -> tuple[object, ...]:
        """Return what tells states apart, so that there are finitely many.

        Of moments, whether they are past; of tokens, whether a worker's is the last one given; the workers are alike.
        """
        rows = self.connection.execute(
            "SELECT shard_no, state, attempt, worker_id, lease_expires_at < '2001-01-01', first_item_no, end_item_no,"
            " succeeded_count, failed_count, cancelled_count FROM shards ORDER BY shard_no"
        ).fetchall()
        results = self.connection.execute("SELECT item_no, state FROM results ORDER BY item_no").fetchall()
        [(state,)] = self.connection.execute("SELECT state FROM jobs").fetchall()
        believed = [None if one is None else (one[0].shard_no, self.rightful(one[0]) and one[1]) for one in held]
        variants = []
        for first, second in ((0, 1), (1, 0)):
            names = {WORKERS[first].hex: 1, WORKERS[second].hex: 2, None: 0}
            shards = [(*row[:3], names[row[3]], *row[4:]) for row in rows]
            variants.append(repr((believed[first], believed[second], shards)))
        return (min(variants), tuple(results), state)

    def steps(self, node: Node) -> Iterator[tuple[str, Callable[[], tuple[Held, ...]]]]:
        """Yield everything that may happen next: a name, and what does it to the current database."""
        for worker in range(len(WORKERS)):
            held = node.held[worker]
            if held is None:
                yield f"worker {worker} claims", lambda worker=worker: self.claim(node, worker)
                continue
            if self.lapsed(held[0]):  # otherwise nothing changes
                yield f"worker {worker} renews", lambda worker=worker: self.renew(node, worker)
            yield f"worker {worker} releases", lambda worker=worker: self.release(node, worker)
            yield f"worker {worker} dies", lambda worker=worker: believing(node, worker, None)
            yield f"worker {worker} records all", lambda worker=worker, items=held[1]: self.settle(node, worker, items)
            if len(held[1]) > 1:
                one = held[1][:1]
                yield f"worker {worker} records one", lambda worker=worker, one=one: self.settle(node, worker, one)
        leased = "SELECT shard_no FROM shards WHERE state = 'leased' AND lease_expires_at > '2001-01-01'"
        for (number,) in self.connection.execute(leased).fetchall():
            yield f"lease of shard {number} expires", lambda number=number: self.expire(node, number)
        yield CANCEL, lambda: self.cancel(node)

    def lapsed(self, lease: Lease) -> bool:
        """Whether a lease has expired, or is another's or nobody's by now."""
        [(token, expires_at)] = self.connection.execute(
            "SELECT lease_token, lease_expires_at FROM shards WHERE shard_no = ?", [lease.shard_no]
        ).fetchall()
        return bool(token != lease.token or expires_at is None or expires_at == LONG_AGO)

    def claim(self, node: Node, worker: int) -> tuple[Held, ...]:
        with self.database.transaction() as session:
            claimed = claims.claim(session, worker_id=WORKERS[worker], queue="gpu", lease_seconds=10**6)
        if not claimed:
            return node.held
        [claim] = claimed
        return believing(node, worker, (claim.lease, tuple(item.item_no for item in claim.items)))

    def renew(self, node: Node, worker: int) -> tuple[Held, ...]:
        lease, _ = belief(node, worker)
        rightful = self.rightful(lease)
        with self.database.transaction() as session:
            answer = leases.renew(session, [lease], lease_seconds=10**6)
        return self.judge(node, worker, rightful=rightful, accepted=lease in answer, after=node.held[worker])

    def release(self, node: Node, worker: int) -> tuple[Held, ...]:
        lease, _ = belief(node, worker)
        rightful, accepted = self.rightful(lease), True
        try:
            with self.database.transaction() as session:
                leases.release(session, lease)
        except LeaseLost:
            accepted = False
        return self.judge(node, worker, rightful=rightful, accepted=accepted, after=None)

    def settle(self, node: Node, worker: int, items: tuple[int, ...]) -> tuple[Held, ...]:
        lease, unrecorded = belief(node, worker)
        rightful, accepted = self.rightful(lease), True
        try:
            with self.database.transaction() as session:
                results = [ItemResult(item_no=item, state=ItemState.SUCCEEDED) for item in items]
                ended = factories.settle(session, lease, results)
        except LeaseLost:
            accepted, ended = False, True
        rest = tuple(item for item in unrecorded if item not in items)
        return self.judge(node, worker, rightful=rightful, accepted=accepted, after=None if ended else (lease, rest))

    def rightful(self, lease: Lease) -> bool:
        """Whether this lease is the last that was given on its shard, and was not taken back."""
        [(token, state)] = self.connection.execute(
            "SELECT lease_token, state FROM shards WHERE shard_no = ?", [lease.shard_no]
        ).fetchall()
        return bool(token == lease.token and state == "leased")

    def judge(self, node: Node, worker: int, *, rightful: bool, accepted: bool, after: Held) -> tuple[Held, ...]:
        if accepted and not rightful:
            raise Broken("a worker wrote under a lease that was another's by then")
        if rightful and not accepted:
            raise Broken("a worker was refused under a lease that it held")
        return believing(node, worker, after if accepted else None)

    def expire(self, node: Node, number: int) -> tuple[Held, ...]:
        self.connection.execute("UPDATE shards SET lease_expires_at = ? WHERE shard_no = ?", [LONG_AGO, number])
        return node.held

    def cancel(self, node: Node) -> tuple[Held, ...]:
        """Cancel; from then on every worker is refused. Nothing further can happen, so nothing further is explored."""
        with self.database.transaction() as session:
            controls.cancel(session, TENANT, self.job_id)
        for worker, held in enumerate(node.held):
            if held is not None:
                self.settle(node, worker, held[1])
        return node.held

    def check(self) -> None:
        """Counts follow from the results, and no attempt is below zero."""
        counted = "succeeded_count + failed_count + cancelled_count"
        [(counts, least)] = self.connection.execute(f"SELECT sum({counted}), min(attempt) FROM shards").fetchall()
        [(results,)] = self.connection.execute("SELECT count(*) FROM results").fetchall()
        [(added,)] = self.connection.execute(f"SELECT coalesce(sum({counted}), 0) FROM sums").fetchall()
        if not counts == added == results:
            raise Broken(f"{results} results are counted as {counts}, and added up to {added}")
        if least < 0:
            raise Broken("an attempt was taken back that was another's")


def belief(node: Node, worker: int) -> tuple[Lease, tuple[int, ...]]:
    held = node.held[worker]
    assert held is not None
    return held


def believing(node: Node, worker: int, held: Held) -> tuple[Held, ...]:
    return tuple(held if number == worker else other for number, other in enumerate(node.held))


def explore(world: World) -> tuple[int, int]:
    """Take every step from every state. Return how many states and steps there are.

    Raises:
        Broken: a promise was broken; the message is the shortest way there.
    """
    first = world.start()
    seen = {world.key(first.held)}
    waiting = deque([first])
    steps = 0
    while waiting:
        node = waiting.popleft()
        world.connection.deserialize(node.image)
        for name, act in list(world.steps(node)):
            world.connection.deserialize(node.image)
            path = (*node.path, name)
            steps += 1
            try:
                held = act()
                world.check()
            except Exception as error:
                raise Broken(f"{error!r} after: {', '.join(path)}") from error
            key = world.key(held)
            if key in seen or name == CANCEL:
                continue
            seen.add(key)
            waiting.append(Node(world.connection.serialize(), held, path))
    return len(seen), steps


@pytest.mark.parametrize(("items", "shard_items"), SCOPES)
def test_no_interleaving_of_two_workers_breaks_a_promise(items: int, shard_items: int) -> None:
    states, steps = explore(World(items, shard_items))
    assert states > 100, f"{states} states and {steps} steps are not all"


def test_without_the_token_there_is_a_counter_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The explorer sees what the token prevents: the shortest way to break a promise without it."""

    def held_by_anyone(lease: Lease) -> Any:
        return and_(
            ShardRecord.job_id == lease.job_id,
            ShardRecord.shard_no == lease.shard_no,
            ShardRecord.state == "leased",
        )

    monkeypatch.setattr(leases, "_held", held_by_anyone)
    with pytest.raises(Broken) as found:
        explore(World(*SCOPES[0]))
    assert "under a lease that was another's" in str(found.value)
    assert " claims" in str(found.value)
