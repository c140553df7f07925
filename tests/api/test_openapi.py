"""The description of the API is the one in the repository, and what it says is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from api import openapi
from api.app import create_app
from api.settings import ApiSettings
from jobs import tenants
from jobs.database import Database
from jobs.states import ItemState, JobState
from tests.api.conftest import serving
from tests.factories import make_job, make_results, make_style

if TYPE_CHECKING:
    from jobs.cards import CardShelf

KEPT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"

# Answers that are foreseen for requests which the description allows: an unknown model, a source that is not there.
NOT_CHECKED = "positive_data_acceptance"

CONFIGURATION = """
[[operations]]
include-path-regex = "/v1/jobs/"
parameters = {{ job_id = "{job_id}" }}
[[operations]]
include-path = "/v1/jobs/{{job_id}}/events"
headers = {{ Accept = "application/json" }}
[[operations]]
include-path-regex = "/v1/styles/"
parameters = {{ name = "warm" }}
[[operations]]
include-path-regex = "/v1/models/"
parameters = {{ name = "identity" }}
"""


def test_the_kept_description_is_up_to_date() -> None:
    assert KEPT.read_text(encoding="utf-8") == openapi.text(), (
        "run: python -m api.openapi > docs/reference/openapi.json"
    )


def test_every_answer_with_a_problem_is_described_with_its_media_type() -> None:
    description = create_app(ApiSettings()).openapi()
    others = [
        (path, status)
        for path, operations in description["paths"].items()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if int(status) >= 400 and list(answer["content"]) != ["application/problem+json"]
    ]
    assert others == [("/readyz", "503")]  # the same report as with 200


def test_no_request_gets_an_answer_that_is_not_described(postgres_url: str, shelf: CardShelf, tmp_path: Path) -> None:
    settings = ApiSettings(
        database_url=SecretStr(postgres_url),
        storage_url=f"file://{tmp_path}/storage",
        broker_url=SecretStr(f"redis+socket://{tmp_path}/no-broker"),
    )
    database = Database(postgres_url)
    with database.transaction() as session:
        key = tenants.add_key(session, "default")
        make_style(session)
        job = make_job(session, state=JobState.RUNNING, items=30)
        make_results(session, job, range(10))
        make_results(session, job, range(10, 20), ItemState.FAILED)
    database.close()
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(job_id=job.id))
    with serving(create_app(settings, shelf=shelf)) as api:
        tested = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
                *("run", str(api.base_url.join("/openapi.json")), "--exclude-checks", NOT_CHECKED),
                *("--header", f"Authorization: Bearer {key}"),
                *("--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1"),
                *("--continue-on-failure", "--no-color", "--warnings", "off"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert tested.returncode == 0, tested.stdout[-10_000:] + tested.stderr
