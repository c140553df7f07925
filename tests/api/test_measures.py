"""Measures and gates over HTTP, on both databases."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from jobs import claims
from jobs.database import Database
from jobs.leases import ItemResult, Lease, Settlement, settle
from jobs.measures import MEASURES
from jobs.states import ItemState, JobOutcome, JobState
from jobs.tallies import Tally, count_in
from tests.factories import make_job, make_recipe, make_results

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

WORKER = uuid.UUID(int=3)


def settle_measured(database: Database, lease: Lease, tally: Tally, figures: dict[int, dict[str, float]]) -> None:
    """Settle items with these figures, as a worker does: the tally has all that was settled of the shard in it."""
    results = []
    for item_no, measures in figures.items():
        count_in(tally, [measures])
        results.append(ItemResult(item_no=item_no, state=ItemState.SUCCEEDED, measures=measures))
    with database.transaction() as session:
        assert lease in settle(session, [Settlement(lease=lease, results=results, tally=tally)])


def test_a_job_shows_how_its_measures_are_spread_while_it_runs(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, items=8, shard_size=4)
        make_job(session, items=4, priority=-1)
    path = f"/v1/jobs/{job.id}/measures"
    assert api.get(path).json() == {"data": []}
    figures = [0.5, 0.91, 0.93, 0.95, 0.97, 0.99]
    for shard in (figures[:4], figures[4:]):
        with database.transaction() as session:
            [claim] = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)
        tally: Tally = {}
        for place, value in enumerate(shard):  # one after the other: the tally of a shard is replaced, not added to
            item_no = claim.items[place].item_no
            settle_measured(database, claim.lease, tally, {item_no: {"structure": value, "psnr_db": 20.0}})
    psnr, structure = api.get(path).json()["data"]
    assert (psnr["name"], psnr["count"], psnr["minimum"], psnr["p50"], psnr["maximum"]) == ("psnr_db", 6, 20, 20, 20)
    assert (structure["name"], structure["meaning"]) == ("structure", MEASURES["structure"].meaning)
    assert (structure["count"], structure["minimum"], structure["maximum"]) == (6, 0.5, 0.99)
    assert structure["p5"] <= 0.51
    assert 0.93 <= structure["p50"] <= 0.95
    assert len(structure["counts"]) + 1 == len(structure["edges"])
    assert (sum(structure["counts"]), structure["counts"][0], structure["edges"][0]) == (6, 1, 0.5)


def test_the_measures_of_another_tenant_are_as_good_as_absent(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        foreign = make_job(session, state=JobState.ENDED, items=2, tenant_id="other")
    for job_id in (foreign.id, uuid.uuid4()):
        answer = api.get(f"/v1/jobs/{job_id}/measures")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_recipe_with_gates_is_shown_with_them_and_one_without_as_before(
    api: httpx.Client, job_request: dict[str, Any]
) -> None:
    gates = {"structure": {"minimum": 0.9}, "colour_shift": {"maximum": 3}}
    recipe = job_request["recipe"]
    bare, gated = (
        api.post("/v1/jobs", json=job_request | {"recipe": each, "validate_only": True}).json()
        for each in (recipe, recipe | {"gates": gates})
    )
    assert "gates" not in bare["recipe"]
    assert gated["recipe"]["gates"] == {
        "structure": {"minimum": 0.9, "maximum": None},
        "colour_shift": {"minimum": None, "maximum": 3},
    }
    assert bare["recipe_fingerprint"] == gated["recipe_fingerprint"], "gates change no pixels"
    same = api.post("/v1/jobs", json=job_request | {"recipe": recipe | {"gates": {}}}, headers={"Idempotency-Key": "a"})
    assert api.post("/v1/jobs", json=job_request, headers={"Idempotency-Key": "a"}).json()["id"] == same.json()["id"]


@pytest.mark.parametrize(
    ("gates", "field", "value", "remedy"),
    [
        ({"structur": {"minimum": 0.9}}, "recipe.gates.structur", {"minimum": 0.9}, "there is no such measure"),
        ({"structure": {"minimum": "0.9"}}, "recipe.gates.structure.minimum", "0.9", "a valid number"),
        ({"structure": {"least": 1}}, "recipe.gates.structure.least", 1, "leave it out"),
        ({"ssim": {"minimum": 2}}, "recipe.gates.ssim", {"minimum": 2}, "from -1 to 1"),
        ({"ssim": 0.9}, "recipe.gates.ssim", 0.9, "give a JSON object"),
    ],
    ids=["unknown", "text", "member", "range", "number"],
)
def test_a_gate_that_is_wrong_is_refused_with_field_value_and_remedy(
    api: httpx.Client, job_request: dict[str, Any], gates: dict[str, Any], field: str, value: object, remedy: str
) -> None:
    answer = api.post("/v1/jobs", json=job_request | {"recipe": job_request["recipe"] | {"gates": gates}})
    [fault] = answer.json()["errors"]
    assert (answer.status_code, fault["field"], fault["value"]) == (422, field, value)
    assert remedy in fault["remedy"]


def test_a_retry_keeps_the_gates_or_takes_others(api: httpx.Client, database: Database, storage_folder: Path) -> None:
    with database.transaction() as session:
        url = f"file://{storage_folder}/results/"
        recipe = make_recipe(model="identity", style=None, parameters={}, gates={"ssim": {"minimum": 0.9}})
        job = make_job(
            session, state=JobState.ENDED, items=2, recipe=recipe, outcome=JobOutcome.PARTIAL, output_url=url
        )
        make_results(session, job, [0])
        make_results(session, job, [1], ItemState.REJECTED, error_code="gate_broken")
    path = f"/v1/jobs/{job.id}/retry"
    assert api.post(path, json={"dry_run": True, "error_codes": ["gate_broken"]}).json() == {"matched": 1}
    kept, looser, bare = (
        api.post(path, json=asked).json()["recipe"].get("gates")
        for asked in ({}, {"recipe": {"gates": {"ssim": {"minimum": 0.5}}}}, {"recipe": {"gates": {}}})
    )
    assert kept["ssim"]["minimum"] == 0.9
    assert looser["ssim"]["minimum"] == 0.5
    assert bare is None
