"""The command as a person or a script uses it, against a real API."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from jobs.advance import advance
from jobs.database import Database
from jobs.job_leases import JobLease, claim_job
from jobs.records import JobRecord, ShardRecord
from jobs.states import ItemState, JobOutcome, JobState
from jobs.storage import Storages
from jobs.tallies import Tally, count_in
from restyle import Client
from restyle.__main__ import run
from restyle.progress import taken
from tests.factories import make_job, make_recipe, make_results
from tests.restyle.answers import answering
from tests.restyle.conftest import PNG, RunningApi, Shelf

NOBODY = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Types `restyle` lines at one API."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RESTYLE_API_URL", url)
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Said:
        code = run([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, captured.out, captured.err)


@pytest.fixture
def shell(running_api: RunningApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(running_api.url, capsys, monkeypatch)


@pytest.fixture
def lonely_shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell where no API answers."""
    return Shell(NOBODY, capsys, monkeypatch)


@pytest.fixture
def look(tmp_path: Path) -> Path:
    path = tmp_path / "Autumn Look (2).PNG"
    path.write_bytes(PNG)
    return path


def ended_job(api: RunningApi, outcome: JobOutcome, state: ItemState = ItemState.SUCCEEDED) -> str:
    with api.database.transaction() as session:
        job = make_job(session, state=JobState.ENDED, items=3, outcome=outcome)
        if outcome is not JobOutcome.SUCCEEDED:
            make_results(session, job, range(3), state)
        return str(job.id)


def test_a_folder_and_a_picture_make_a_job(running_api: RunningApi, shell: Shell, client: Client, look: Path) -> None:
    said = shell("enqueue", "--source", running_api.pictures, "--style", look, "--set", "strength=0.7", "--json")

    (job,) = said.json
    assert said.code == 0
    assert job["source"] == {"type": "prefix", "url": f"file://{running_api.pictures}/"}
    assert job["recipe"]["parameters"] == {"strength": 0.7}
    assert re.fullmatch(r"autumn-look-2-[0-9a-f]{8}", job["recipe"]["style"])
    assert client.job(job["id"])["id"] == job["id"]


def test_gates_go_with_the_recipe_and_measures_are_shown(running_api: RunningApi, shell: Shell, client: Client) -> None:
    line = ("enqueue", "--source", running_api.pictures, "--model", "plain", "--json")
    (job,) = shell(*line, "--at-least", "structure=0.9", "--at-most", "colour_shift=3").json
    assert job["recipe"]["gates"] == {
        "structure": {"minimum": 0.9, "maximum": None},
        "colour_shift": {"minimum": None, "maximum": 3},
    }
    tally: Tally = {}
    for value in (0.9, 0.98, 0.98):
        count_in(tally, [{"structure": value}])
    with running_api.database.transaction() as session:
        measured = make_job(session, items=3, state=JobState.RUNNING)
        session.execute(update(ShardRecord).where(ShardRecord.job_id == measured.id).values(measures=tally))

    (found,) = shell("measures", measured.id, "--json").json
    assert (found["name"], found["count"]) == ("structure", 3)
    shown = shell("measures", measured.id).out
    assert re.search(r"structure +3 +0\.9 .* 0\.98 +0\.5 +▄ +█ +1 *\n", shown), shown
    assert client.measures(job["id"]) == []


def test_further_models_and_masks_go_with_the_recipe(running_api: RunningApi, shell: Shell) -> None:
    line = ("enqueue", "--source", running_api.pictures, "--model", "plain", "--on", "product", "--json")
    (job,) = shell(*line, "--then", "plain,on=background", "--then", "plain", "--mask", "alpha").json
    assert (job["recipe"]["on"], job["recipe"]["mask"]) == ("product", "alpha")
    assert [(step["model"], step["on"]) for step in job["recipe"]["then"]] == [
        ("plain", "background"),
        ("plain", "all"),
    ]
    unknown = shell(*line, "--mask", "model=nobody")
    assert unknown.code != 0
    assert "recipe.mask.model" in unknown.err
    assert shell(*line, "--then", "on=background").code == 2


def test_pictures_to_generate_are_counted_and_described_by_one_line(running_api: RunningApi, shell: Shell) -> None:
    line = ("enqueue", "--operation", "generate", "--model", "drawer", "--count", "12", "--json")
    (job,) = shell(*line, "--attribute", "kind=mug", "--attribute", "colour=red", "--seed", "7").json
    assert job["source"] == {"type": "count", "count": 12}
    assert job["recipe"]["attributes"] == {"kind": "mug", "colour": "red"}
    assert (job["recipe"]["operation"], job["recipe"]["seed"]) == ("generate", 7)
    unknown = shell(*line, "--attribute", "kind=hat")
    assert unknown.code == 2
    assert "recipe.attributes.kind" in unknown.err


def test_a_file_of_rules_goes_with_the_recipe(running_api: RunningApi, shell: Shell, tmp_path: Path) -> None:
    manifest, rules = tmp_path / "rows.csv", tmp_path / "rules.json"
    manifest.write_text("product_id,kind,price\n1,mug,40\n")
    rules.write_text(json.dumps([{"when": {"price": {"minimum": 30}}, "attributes": {"colour": "red"}}]))
    line = ("enqueue", "--operation", "generate", "--model", "drawer", "--source", manifest, "--json", "--rules", rules)
    (job,) = shell(*line).json
    assert job["recipe"]["rules"][0]["attributes"] == {"colour": "red"}
    rules.write_text(json.dumps([{"when": {}, "attributes": {"colour": "puce"}}]))
    refused = shell(*line)
    assert refused.code == 2
    assert "recipe.rules.0" in refused.err
    for text in ("{}", "[{]"):
        rules.write_text(text)
        assert "--rules" in shell(*line).err


def test_the_same_picture_is_uploaded_as_one_style(
    running_api: RunningApi, shell: Shell, client: Client, look: Path
) -> None:
    for _ in range(2):
        assert shell("enqueue", "--source", running_api.pictures, "--style", look).code == 0

    assert len(list(client.styles())) == 1


def test_a_style_is_named_and_then_used_by_its_name(running_api: RunningApi, shell: Shell, look: Path) -> None:
    assert shell("styles", "add", "autumn", look).code == 0

    (job,) = shell("enqueue", "--source", running_api.pictures, "--style", "autumn", "--json").json

    assert job["recipe"]["style"] == "autumn"
    assert "autumn" in shell("styles", "list").out
    assert "autumn" in shell("styles").out
    assert [style["name"] for style in shell("styles", "--json").json] == ["autumn"]
    assert "Commands:" in shell("styles", "--help").out
    assert [style["name"] for style in shell("styles", "list", "--json").json] == ["autumn"]


def test_what_is_printed_says_which_job_it_is_and_how_to_watch_it(
    running_api: RunningApi, shell: Shell, client: Client
) -> None:
    said = shell("enqueue", "--source", running_api.pictures, "--model", "plain")

    (job,) = client.jobs()
    assert f"restyle watch {job['id']}" in said.out


@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [
        (JobOutcome.SUCCEEDED, ItemState.SUCCEEDED, 0),
        (JobOutcome.PARTIAL, ItemState.FAILED, 3),
        (JobOutcome.FAILED, ItemState.FAILED, 4),
        (JobOutcome.CANCELLED, ItemState.CANCELLED, 5),
        (JobOutcome.EXPIRED, ItemState.CANCELLED, 5),
    ],
)
def test_watching_ends_with_the_exit_code_of_the_outcome(
    running_api: RunningApi, shell: Shell, outcome: JobOutcome, state: ItemState, code: int
) -> None:
    job_id = ended_job(running_api, outcome, state)

    assert shell("watch", job_id).code == code
    said = shell("watch", job_id, "--json")
    assert said.code == code
    assert [job["outcome"] for job in said.json] == [outcome.value]


def test_watching_shows_the_counts_and_where_things_are(running_api: RunningApi, shell: Shell) -> None:
    said = shell("watch", ended_job(running_api, JobOutcome.SUCCEEDED))

    assert re.search(r"3\s+items", said.out)
    assert re.search(r"3\s+succeeded", said.out)
    assert "s3://restyle/results/" in said.out


def test_a_failed_plan_names_the_lines_of_the_manifest(running_api: RunningApi, shell: Shell) -> None:
    manifest = running_api.pictures / "spring.csv"
    manifest.write_text("product_id,key\nP0,one.png\n" + "".join(f"P{number},\n" for number in range(1, 13)))
    (job,) = shell("enqueue", "--source", manifest, "--model", "plain", "--json").json
    work_off(running_api.database)

    said = shell("watch", job["id"])

    assert said.code == 4
    assert "  line 3: " in said.out
    assert "  line 12: " in said.out
    assert "and 2 more" in said.out


def work_off(database: Database) -> None:
    """Do what a worker does for a job without items: plan it, and finish it."""
    storages = Storages()
    while lease := claimed(database):
        advance(
            database,
            storages,
            lease,
            shelf=Shelf(),
            allowed=["file:///"],
            ring=lambda _queue, _times: None,
            draw_sheet=lambda _job, _folder: {},
        )


def claimed(database: Database) -> JobLease | None:
    with database.transaction() as session:
        return claim_job(session, worker_id=uuid.uuid4(), lease_seconds=60, stopping=threading.Event())


def test_lists_hold_whole_ids_also_in_a_pipe(running_api: RunningApi, shell: Shell) -> None:
    job_id = ended_job(running_api, JobOutcome.FAILED, ItemState.FAILED)

    assert job_id in shell("jobs").out
    assert shell("jobs", "--state", "running", "--json").out == ""
    said = shell("items", job_id, "--state", "failed", "--limit", 2)
    assert "s3://shop/catalogue/shoes/000001.jpg" in said.out
    assert "truncated: the file ends before its pixels do" in said.out
    assert "000002" not in said.out


def test_items_as_json_are_one_object_a_line(running_api: RunningApi, shell: Shell) -> None:
    job_id = ended_job(running_api, JobOutcome.SUCCEEDED)

    assert [item["item_no"] for item in shell("items", job_id, "--json").json] == [0, 1, 2]


def test_cancelling_says_so(running_api: RunningApi, shell: Shell) -> None:
    (job,) = shell("enqueue", "--source", running_api.pictures, "--model", "plain", "--json").json

    assert "cancelling" in shell("cancel", job["id"]).out


def test_a_job_is_paused_changed_resumed_and_drained(running_api: RunningApi, shell: Shell) -> None:
    (job,) = shell("enqueue", "--source", running_api.pictures, "--model", "plain", "--json").json

    said = shell("pause", job["id"])
    assert "paused" in said.out
    assert "resume" in said.out, "it says how it goes on"
    (changed,) = shell("change", job["id"], "--priority", "7", "--deadline", "2100-01-01T00:00Z", "--json").json
    assert (changed["priority"], changed["deadline_at"]) == (7, "2100-01-01T00:00:00Z")
    (again,) = shell("change", job["id"], "--deadline", "none", "--json").json
    assert again["deadline_at"] is None
    assert [found["state"] for found in shell("resume", job["id"], "--json").json] == ["planning"]
    assert [found["cancel_mode"] for found in shell("cancel", job["id"], "--mode", "drain", "--json").json] == ["drain"]
    refused = shell("pause", job["id"])
    assert refused.code == 2
    assert "the job is cancelling" in refused.err


def test_what_a_job_is_enqueued_with_is_kept(running_api: RunningApi, shell: Shell) -> None:
    line = ("enqueue", "--source", running_api.pictures, "--model", "plain", "--json", "--max-workers", "3")
    times = ("--not-before", "2099-01-01T00:00Z", "--deadline", "2100-01-01T00:00Z")

    (preview,) = shell(*line, *times, "--confirm", "--retain-days", "30", "--validate-only").json
    assert preview["valid"] is True
    assert shell("jobs", "--json").json == []
    (job,) = shell(*line, *times, "--confirm", "--retain-days", "30").json
    for found in (preview, job):
        assert (found["max_workers"], found["require_confirmation"]) == (3, True)
        assert (found["not_before_at"], found["deadline_at"]) == ("2099-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
        assert found["retention"] == {"days": 30, "outputs": "keep"}


def test_what_failed_is_retried_by_one_line(running_api: RunningApi, shell: Shell) -> None:
    with running_api.database.transaction() as session:
        recipe = make_recipe(model="plain", style=None)
        columns = {"outcome": JobOutcome.PARTIAL, "output_url": f"file://{running_api.pictures}/out/"}
        job = make_job(session, state=JobState.ENDED, items=3, recipe=recipe, **columns)
        make_results(session, job, [0])
        make_results(session, job, [1, 2], ItemState.FAILED)

    assert "2 items" in shell("retry", job.id, "--dry-run").out
    (child,) = shell("retry", job.id, "--state", "failed", "--set", "strength=0.5", "--json").json
    assert child["parent_job_id"] == str(job.id)
    assert child["recipe"]["parameters"] == {"strength": 0.5}
    said = shell("retry", job.id, "--error-code", "no_such")
    assert (said.code, "choose others" in said.err) == (2, True)


def test_what_was_rejected_is_redone_or_accepted_by_one_line(running_api: RunningApi, shell: Shell) -> None:
    with running_api.database.transaction() as session:
        gates = {"ssim": {"minimum": 0.9}, "structure": {"minimum": 0.9}}
        recipe = make_recipe(model="plain", style=None, gates=gates)
        columns = {"outcome": JobOutcome.PARTIAL, "output_url": f"file://{running_api.pictures}/out/"}
        job = make_job(session, state=JobState.ENDED, items=2, recipe=recipe, **columns)
        make_results(session, job, [0])
        make_results(session, job, [1], ItemState.REJECTED, error_code="gate_broken")

    line = ("retry", job.id, "--state", "rejected", "--json")
    (redone,), (looser,), (accepted,) = (
        shell(*line, *asked).json for asked in (("--set", "strength=0.5"), ("--at-least", "ssim=0.5"), ("--no-gates",))
    )
    assert set(redone["recipe"]["gates"]) == {"ssim", "structure"}
    assert looser["recipe"]["gates"] == {"ssim": {"minimum": 0.5, "maximum": None}}
    assert "gates" not in accepted["recipe"]
    assert shell(*line, "--no-gates", "--at-most", "colour_shift=3").code == 2


def test_many_jobs_are_controlled_by_one_line(running_api: RunningApi, shell: Shell) -> None:
    with running_api.database.transaction() as session:
        for priority in (-1, 0, 1):
            make_job(session, priority=priority)

    assert "2 jobs fit" in shell("pause", "--all", "--priority-below", "1", "--dry-run").out
    assert shell("pause", "--all", "--priority-below", "1", "--json").json == [{"changed": 2}]
    assert shell("cancel", "--all", "--state", "paused", "--json").json == [{"changed": 2}]
    assert shell("resume", "--all", "--json").json == [{"changed": 0}]


def test_a_paused_job_says_why_while_it_is_watched(running_api: RunningApi) -> None:
    with running_api.database.transaction() as session:
        reason = {"code": "too_many_failures", "message": "60 of 100 items failed"}
        job_id = str(make_job(session, state=JobState.PAUSED, items=2, pause_reason=reason).id)
    command = [sys.executable, "-m", "restyle", "watch", job_id, "--api", running_api.url]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert "paused: 60 of 100 items failed" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=20)


def test_a_refused_request_is_exit_code_2_with_the_remedy(running_api: RunningApi, shell: Shell) -> None:
    said = shell("enqueue", "--source", running_api.pictures, "--model", "plain", "--set", "strength=7")

    assert said.code == 2
    assert said.err == "Error: recipe.parameters.strength is 7: give a number from 0 to 1\n"


def test_a_job_that_is_not_there_is_exit_code_2(shell: Shell) -> None:
    assert shell("watch", "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60").code == 2


def test_an_api_that_cannot_be_reached_is_exit_code_1_and_one_line(lonely_shell: Shell) -> None:
    said = lonely_shell("jobs")

    assert said.code == 1
    assert said.err.startswith(f"Error: no answer from the API at {NOBODY}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        ("enqueue",),
        ("enqueue", "--source", "nowhere"),
        ("enqueue", "--source", "docs", "--count", "3"),
        ("enqueue", "--count", "3", "--operation", "paint"),
        ("enqueue", "--count", "3", "--operation", "generate", "--attribute", "mug"),
        ("enqueue", "--count", "3", "--operation", "generate", "--attribute", "kind=mug", "--attribute", "kind=shoe"),
        ("enqueue", "--source", "pyproject.toml"),
        ("enqueue", "--source", "docs", "--rules", "missing.json"),
        ("enqueue", "--source", "docs", "--set", "strength"),
        ("enqueue", "--source", "docs", "--set", "strength=[1]"),
        ("enqueue", "--source", "docs", "--style", "pyproject.toml"),
        ("enqueue", "--source", "docs", "--style", "missing/look.jpg"),
        ("enqueue", "--source", "docs", "--format", "bmp"),
        ("enqueue", "--source", "docs", "--deadline", "tomorrow"),
        ("pause",),
        ("pause", "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60", "--all"),
        ("cancel", "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60", "--state", "paused"),
        ("cancel", "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60", "--mode", "soon"),
        ("change", "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60"),
        ("retry", "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60", "--state", "pending"),
        ("styles", "add", "autumn", "pyproject.toml"),
        ("jobs", "--api", "localhost:8000"),
        ("demo", "--catalogue", "nowhere"),
        ("demo", "--catalogue", "migrations"),
        ("demo", "--style", "pyproject.toml"),
        ("paint",),
    ],
    ids=" ".join,
)
def test_mistakes_are_exit_code_2_before_anything_is_asked(lonely_shell: Shell, line: tuple[str, ...]) -> None:
    said = lonely_shell(*line)

    assert said.code == 2
    assert "Error: " in said.err
    assert said.out == ""


def test_ctrl_c_ends_the_watching_and_not_the_job(running_api: RunningApi) -> None:
    with running_api.database.transaction() as session:
        job_id = str(make_job(session, state=JobState.RUNNING, items=2).id)
    command = [sys.executable, "-m", "restyle", "watch", job_id, "--api", running_api.url]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert "0 of 2" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=90)

    assert watching.returncode == 130
    assert "the job goes on" in err
    assert f"restyle cancel {job_id}" in err
    with running_api.database.reading() as session:
        assert session.get_one(JobRecord, uuid.UUID(job_id)).state is JobState.RUNNING


def test_a_reader_that_leaves_causes_no_traceback(running_api: RunningApi) -> None:
    with running_api.database.transaction() as session:
        job_id = str(make_job(session, state=JobState.RUNNING, items=3000).id)
    line = f"{sys.executable} -m restyle items {job_id} --json --api {running_api.url} | head -n 1"

    piped = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=90, check=True)

    assert json.loads(piped.stdout)["item_no"] == 0
    assert piped.stderr == ""


def test_a_launcher_becomes_the_program_that_it_names(tmp_path: Path) -> None:
    # A folder of the same name where it is started must not be taken for the program.
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "__main__.py").write_text("raise SystemExit('the wrong one')")
    database = tmp_path / "new.db"
    environment = os.environ | {"RESTYLE_DATABASE_URL": f"sqlite:///{database}", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-P", "-m", "restyle", "migrate"]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90)

    assert done.returncode == 0, done.stderr
    assert database.stat().st_size > 0


def test_progress_goes_to_stderr_only() -> None:
    progress = {"items_per_second": 2.5, "seconds_left": 80, "fraction": 0.5, "eta_at": None}
    names = ("succeeded", "reused", "rejected", "failed", "cancelled", "bad_rows", "passed_over")
    counts = dict.fromkeys(names, 0) | {"total": 4, "pending": 2, "succeeded": 1, "failed": 1}
    taken = {"device_seconds": 90, "device_seconds_estimate": 180, "cost": 0.4567, "cost_estimate": 1.23456}
    job = {"id": "x", "state": "running", "outcome": None, "planned": True, "counts": counts, "progress": progress}
    job |= taken
    running = json.dumps(job).encode()
    ended = json.dumps(job | {"state": "ended", "outcome": "partial"}).encode()
    job_id = "0198c5a2-7d3e-7000-8000-1b2c3d4e5f60"
    with answering((200, {}, running), (200, {}, ended)) as (url, _):
        command = [sys.executable, "-m", "restyle", "watch", job_id, "--json", "--api", url]
        watched = subprocess.run(command, capture_output=True, text=True, timeout=90)

    assert watched.returncode == 3
    assert json.loads(watched.stdout)["outcome"] == "partial"
    line = "2 of 4 · 2.5 pictures/s · 1 min 20 s left · 1 failed · cost 0.457 of about 1.23\n"
    assert line in watched.stderr


def test_what_a_job_took_is_told_as_far_as_it_is_known() -> None:
    job: Any = {"device_seconds": 90.0, "device_seconds_estimate": 180.0, "cost": 0.4567, "cost_estimate": 1.23456}
    assert taken(job) == ["device time 1 min 30 s of about 3 min 0 s", "cost 0.457 of about 1.23"]
    job |= {"device_seconds_estimate": 90.0, "cost": None, "cost_estimate": None}
    assert taken(job) == ["device time 1 min 30 s"], "all of it is no estimate"
    job |= {"device_seconds": 0.0, "device_seconds_estimate": None}
    assert taken(job) == []
