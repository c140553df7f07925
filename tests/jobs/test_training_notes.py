"""What a worker notes while it trains, on both databases."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select, update

from jobs.database import Database
from jobs.leases import Lease
from jobs.recipes import Recipe
from jobs.records import EventRecord, ItemRecord, ShardRecord
from jobs.training_notes import forgive_deaths, note_measure
from jobs.trainings import Training
from tests.jobs.test_leases import OTHER, add_job, claim, expire, must_claim
from tests.jobs.test_retention import add_job as add_expired_job
from tests.jobs.test_retention import rows, step

FIGURES = {"iteration": 250, "loss": 0.1, "held_out_psnr_db": 21.5}


def note(database: Database, lease: Lease) -> None:
    with database.transaction() as session:
        note_measure(session, lease, FIGURES)


def forgive(database: Database, lease: Lease) -> None:
    with database.transaction() as session:
        forgive_deaths(session, lease)


def measures(database: Database) -> list[dict[str, object]]:
    with database.reading() as session:
        return list(session.scalars(select(EventRecord.data).where(EventRecord.kind == "training.measured")))


def test_how_a_run_stands_is_an_event_of_its_job_while_the_lease_is_held(database: Database) -> None:
    add_job(database, items=1)
    first = must_claim(database)
    note(database, first.lease)
    assert measures(database) == [FIGURES]
    expire(database, first)
    assert claim(database, OTHER) is not None
    note(database, first.lease)  # another has it: nothing is recorded
    assert measures(database) == [FIGURES]


def test_deaths_do_not_add_up_in_a_run_that_gets_on(database: Database) -> None:
    add_job(database, items=1)
    for _ in range(5):
        claimed = must_claim(database)
        forgive(database, claimed.lease)
        expire(database, claimed)
    assert claim(database) is not None  # without, the second death ends the item
    with database.reading() as session:
        assert session.scalars(select(ShardRecord.attempt)).one() == 2


def test_a_model_that_expires_goes_with_its_card(database: Database, tmp_path: Path) -> None:
    recipe = Recipe(operation="train", model="ours", training=Training(licence="x", iterations=1))
    add_expired_job(database, tmp_path, items=1, recipe=recipe, outputs_expire=True)
    with database.transaction() as session:
        session.execute(update(ItemRecord).values(output_key="ours/weights.safetensors"))
    folder = tmp_path / "out" / "ours"
    folder.mkdir(parents=True)
    for name in ("weights.safetensors", "model.json"):
        (folder / name).write_bytes(b"{}")
    while step(database):
        pass
    assert list(folder.iterdir()) == []
    assert rows(database) == {}
