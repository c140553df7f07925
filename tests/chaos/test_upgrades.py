"""R16: old code and new code side by side, on one schema."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from jobs.states import ItemState
from tests.chaos.fleet import Fleet
from tests.chaos.ground import Ground
from tests.system.processes import Api

pytestmark = pytest.mark.chaos

ITEMS = 160


def test_r16_code_that_is_older_than_the_schema_goes_on_and_starts_anew(ground: Ground, fleet: Fleet) -> None:
    """A schema changes so that the code before it still works: see docs/deploy.md. That code must not stop for it."""
    fleet.start(1, CHAOS_ITEM_SECONDS="0.01")
    job_id = ground.enqueue(ground.catalogue("calm-160", ITEMS))
    fleet.wait_for("started", 5, job=job_id)
    with ground.database.transaction() as session:
        revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        session.execute(text("UPDATE alembic_version SET version_num = 'of tomorrow'"))
    old = Api(ground.parent, ground.settings, ground.nursery)
    try:
        old.start()  # returns once it says that it is ready
        fleet.start(1)
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
        assert old.job(job_id)["outcome"] == "succeeded"
    finally:
        old.kill()
        old.client.close()
        with ground.database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
