"""R14: many people who control the same jobs at once. What they are answered is one history that the rules allow."""

from __future__ import annotations

import itertools
import json
import random
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from jobs.records import EventRecord, ItemRecord
from jobs.states import JOB_MOVES, ItemState, JobState
from tests.chaos import account
from tests.chaos.fleet import WAIT_SECONDS, Fleet, wait_until
from tests.chaos.ground import DOSE, Ground

pytestmark = pytest.mark.chaos

CLIENTS = 8
ITEMS = 256
MOST_JOBS = DOSE(5, 200)
ALLOWED = {200, 202, 404, 409, 412, 422}
ACTS = {"pause": 4, "resume": 4, "change": 4, "look": 4, "cancel": 1, "drain": 1, "retry": 3}
OLD_STATES = ["succeeded", "failed", "cancelled"]


@dataclass
class Told:
    """An answer, and what was asked for."""

    act: str
    condition: int | None  # the version that the job was to be at
    status: int
    body: dict[str, Any]


@dataclass
class Crowd:
    """The jobs that everybody knows, and what each client heard of each."""

    jobs: list[str]
    heard: list[dict[str, list[Told]]] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def take_part(self, ground: Ground, calls: int, seed: str) -> None:
        try:
            with httpx.Client(base_url=ground.api.client.base_url, timeout=WAIT_SECONDS) as client:
                self.heard.append(self._storm(client, random.Random(seed), calls))
        except BaseException as error:  # noqa: BLE001  # told to the test's own thread
            self.failures.append(error)

    def _storm(self, client: httpx.Client, chance: random.Random, calls: int) -> dict[str, list[Told]]:
        """Do anything to any job, half of the time only if it is as it was at some moment."""
        told: dict[str, list[Told]] = {}
        tags: dict[str, list[str]] = {}
        for _ in range(calls):
            job_id = chance.choice(self.jobs[-3:])
            act = chance.choices(list(ACTS), ACTS.values())[0]  # type: ignore[arg-type]
            known = tags.setdefault(job_id, [])
            tag = chance.choice([known[-1], chance.choice(known)]) if known and chance.random() < 0.5 else None
            if act == "retry" and len(self.jobs) >= MOST_JOBS:
                act = "look"
            answer = ask(client, act, job_id, {} if tag is None or act == "look" else {"If-Match": tag}, chance)
            assert answer.status_code in ALLOWED, answer.text
            condition = None if tag is None or act == "look" else version_of(tag)
            body = answer.json()
            if answer.is_success and act == "retry":
                self.parents[body["id"]] = job_id
                self.jobs.append(body["id"])
            else:
                told.setdefault(job_id, []).append(Told(act, condition, answer.status_code, body))
                known += [answer.headers["ETag"]] if "ETag" in answer.headers else []
        return told


def ask(client: httpx.Client, act: str, job_id: str, headers: dict[str, str], chance: random.Random) -> httpx.Response:
    url = f"/v1/jobs/{job_id}"
    if act == "look":
        return client.get(url)
    if act == "change":
        return client.patch(url, json={"priority": chance.randint(-100, 100)}, headers=headers)
    if act in {"cancel", "drain"}:
        return client.post(f"{url}/cancel", json={"mode": "now" if act == "cancel" else "drain"}, headers=headers)
    if act == "retry":
        return client.post(f"{url}/retry", json={"states": OLD_STATES}, headers=headers)
    return client.post(f"{url}/{act}", headers=headers)


def version_of(tag: str) -> int:
    return int(tag.strip('"').partition("-")[0])


def test_r14_a_storm_of_controls_is_one_history(ground: Ground, fleet: Fleet, chance: random.Random) -> None:
    fleet.start(2, CHAOS_ITEM_SECONDS="0.01")
    source = ground.catalogue("calm-256", ITEMS)
    crowd = Crowd([ground.enqueue(source) for _ in range(2)])
    roots = list(crowd.jobs)
    fleet.wait_for("started", 1, job=roots[0])
    wait_until(lambda: all(ground.api.job(job_id)["planned"] for job_id in roots), "both catalogues to be planned")
    calls = DOSE(400, 10_000) // CLIENTS
    threads = [
        threading.Thread(target=crowd.take_part, args=(ground, calls, str(chance.random()))) for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not crowd.failures, crowd.failures
    for job_id in crowd.jobs:
        ground.api.client.post(f"/v1/jobs/{job_id}/resume")
    ended = {job_id: ground.wait_until_ended(fleet, job_id) for job_id in crowd.jobs}
    for job_id, job in ended.items():
        check_results(ground, fleet, crowd, job)
        check_history(ground, job, [told[job_id] for told in crowd.heard if job_id in told])
    said = [told for by_job in crowd.heard for every in by_job.values() for told in every]
    assert any(told.status == 412 for told in said), "no condition was out of date"
    print(f"{len(said)} answers about {len(ended)} jobs, of which {len(crowd.parents)} try items again")


def check_results(ground: Ground, fleet: Fleet, crowd: Crowd, job: dict[str, Any]) -> None:
    """Nothing lost, nothing twice. A job that tries items again writes among the pictures of the one before."""
    objects = ground.objects(job)
    with ground.database.reading() as session:
        keys = set(session.scalars(select(ItemRecord.output_key).where(ItemRecord.job_id == uuid.UUID(job["id"]))))
    own = {key: data for key, data in objects.items() if key in keys or job["id"] in key}
    assert "database is locked" not in fleet.log() + ground.api.log()
    counts = account.settle_up(ground.database, fleet, job["id"], own, ground.calm)
    assert counts.keys() <= {ItemState.SUCCEEDED, ItemState.CANCELLED}
    if job["id"] not in crowd.parents:
        assert counts.total() == ITEMS


def check_history(ground: Ground, job: dict[str, Any], heard: list[list[Told]]) -> None:
    """The events of a job are a way through the table of moves, and whatever anybody was told lies on it."""
    with ground.database.reading() as session:
        of_job = select(EventRecord).where(EventRecord.job_id == uuid.UUID(job["id"])).order_by(EventRecord.id)
        events = [(event.kind.removeprefix("job."), event.data) for event in session.scalars(of_job)]
    before = [data["before"]["priority"] for _kind, data in events if "priority" in data.get("before", {})]
    at = [(JobState.PLANNING, (before or [job["priority"]])[0])]  # state and priority at each version, from 1
    for kind, data in events:
        state, priority = at[-1]
        if kind == "changed":
            at.append((state, data["after"].get("priority", priority)))
        elif kind in set(JobState):
            assert kind in JOB_MOVES[state], f"{state} to {kind} in {json.dumps([kind for kind, _ in events])}"
            at.append((JobState(kind), priority))
    assert at[-1][0] is JobState.ENDED
    assert job["version"] == len(at), "something changed and nobody told of it"
    for told in heard:
        check_what_one_heard(at, job["counts"], told)
    for one in itertools.chain.from_iterable(heard):
        if one.act == "cancel" and one.status == 202:
            assert one.body["counts"]["succeeded"] == job["counts"]["succeeded"], "recorded after the answer"


def check_what_one_heard(at: list[tuple[JobState, int]], counts: dict[str, int], heard: list[Told]) -> None:
    """What one client is told never goes back, lies on the history, and is what was asked for.

    Args:
        at: state and priority of the job at each version.
        counts: its items by state at its end.
        heard: what the client was told.

    """
    accepted = [told for told in heard if told.status in {200, 202}]
    for before, after in itertools.pairwise(accepted):
        assert after.body["version"] >= before.body["version"]
        assert after.body["counts"]["pending"] <= before.body["counts"]["pending"] or not before.body["planned"]
    for told in accepted:
        version, state = told.body["version"], told.body["state"]
        assert (state, told.body["priority"]) == at[version - 1]
        assert told.condition in {None, version, version - 1}, "a condition that did not hold was passed over"
        if told.act == "pause":
            assert state == "paused"
        elif told.act == "resume":
            assert state not in {"paused", "ended"}
        elif told.act in {"cancel", "drain"}:
            assert state in {"cancelling", "finishing", "ended"}
            assert (state == "cancelling") == (told.status == 202)
    for told in heard:
        if told.status == 422:
            assert (told.act, told.body["code"]) == ("retry", "nothing_to_retry")
            assert not any(counts[state] for state in OLD_STATES), "there was something to retry"
        if told.status == 412:
            assert told.body["code"] == "stale"
            assert f"version {told.condition} " not in told.body["detail"], "a condition that held was refused"
