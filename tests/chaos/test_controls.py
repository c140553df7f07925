"""R14: many people who control one job at once. What they are answered is one history that the rules allow."""

from __future__ import annotations

import itertools
import json
import random
import threading
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from jobs.records import EventRecord
from jobs.states import JOB_MOVES, ItemState, JobState
from tests.chaos.fleet import WAIT_SECONDS, Fleet
from tests.chaos.ground import DOSE, Ground

pytestmark = pytest.mark.chaos

CLIENTS = 8
ITEMS = 256
ALLOWED = {200, 202, 404, 409, 412}


def storm(ground: Ground, job_id: str, calls: int, seed: str) -> list[dict[str, Any]]:
    """Pause, resume and change a job, now and then under an old tag. Return what was answered with a new version."""
    chance = random.Random(seed)
    url, tag, told = f"/v1/jobs/{job_id}", None, []
    with httpx.Client(base_url=ground.api.client.base_url, timeout=WAIT_SECONDS) as client:
        for _ in range(calls):
            act = chance.choice(("pause", "resume", "change", "look"))
            if act == "look":
                answer = client.get(url)
            elif act == "change":
                headers = {"If-Match": tag} if tag and chance.random() < 0.7 else {}
                answer = client.patch(url, json={"priority": chance.randint(-100, 100)}, headers=headers)
            else:
                answer = client.post(f"{url}/{act}")
            assert answer.status_code in ALLOWED, answer.text
            tag = answer.headers.get("ETag", tag)
            if answer.status_code in {200, 202}:
                told.append(answer.json() | {"act": act})
    return told


def test_r14_a_storm_of_controls_is_one_history(ground: Ground, fleet: Fleet, chance: random.Random) -> None:
    fleet.start(2, CHAOS_ITEM_SECONDS="0.01")
    job_id = ground.enqueue(ground.catalogue("calm-256", ITEMS))
    fleet.wait_for("started", 1, job=job_id)
    heard: list[list[dict[str, Any]]] = []
    failures: list[BaseException] = []

    def take_part(seed: str) -> None:
        try:
            heard.append(storm(ground, job_id, DOSE(200, 10_000) // CLIENTS, seed))
        except BaseException as error:  # noqa: BLE001  # told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=take_part, args=(str(chance.random()),)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    ground.api.client.post(f"/v1/jobs/{job_id}/resume")
    assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
    check_history(ground, job_id)
    for told in heard:
        check_what_one_heard(told)


def check_history(ground: Ground, job_id: str) -> None:
    """The events of a job are a way through the table of moves, from its start to its end."""
    with ground.database.reading() as session:
        kinds = session.scalars(
            select(EventRecord.kind).where(EventRecord.job_id == uuid.UUID(job_id)).order_by(EventRecord.id)
        ).all()
    states = [JobState(kind.removeprefix("job.")) for kind in kinds if kind.removeprefix("job.") in set(JobState)]
    state = JobState.PLANNING
    for target in states:
        assert target in JOB_MOVES[state], f"{state} to {target} in {json.dumps(kinds)}"
        state = target
    assert state is JobState.ENDED


def check_what_one_heard(told: list[dict[str, Any]]) -> None:
    """What one client is told never goes back, and each answer is in the state that was asked for."""
    for before, after in itertools.pairwise(told):
        assert after["counts"]["pending"] <= before["counts"]["pending"] or not before["planned"]
    for answer in told:
        if answer["act"] == "pause":
            assert answer["state"] == "paused"
        elif answer["act"] == "resume":
            assert answer["state"] not in {"paused", "ended"}
