"""R15: an API that dies between its commit and its answer, and clients that send again under one key."""

from __future__ import annotations

import threading
import uuid
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import func, select

from jobs.records import JobRecord
from tests.chaos.fleet import WAIT_SECONDS
from tests.chaos.ground import DOSE, Ground
from tests.system.processes import Api

pytestmark = pytest.mark.chaos

CLIENTS = 20


class DoomedApi(Api):
    name: ClassVar[str] = "doomed-api"
    program = "tests.chaos.doomed_api"


def test_r15_clients_with_one_key_make_one_job_though_the_api_dies_before_it_answers(ground: Ground) -> None:
    request = ground.request(ground.catalogue("calm-160", 160))
    for _ in range(DOSE(1, 200)):
        doomed = DoomedApi(ground.parent, ground.settings, ground.nursery)
        doomed.start()
        job_id = send_from_many(ground, doomed, request, key=str(uuid.uuid4()))
        assert not doomed.running
        doomed.kill()
        doomed.client.close()
        assert ground.api.client.post(f"/v1/jobs/{job_id}/cancel").is_success


def send_from_many(ground: Ground, doomed: Api, request: dict[str, Any], *, key: str) -> str:
    """Send one request under one key from many clients, first to the API that dies of it. Return the job."""
    answers: list[httpx.Response] = []
    broken: list[Exception] = []
    sound_url = str(ground.api.client.base_url)

    def send(url: str) -> None:
        """Send as a careful client does: again, under the same key, to whichever API is there."""
        headers = {"Idempotency-Key": key}
        with httpx.Client(timeout=WAIT_SECONDS) as client:
            try:
                answers.append(client.post(f"{url}/v1/jobs", json=request, headers=headers))
            except httpx.TransportError as error:
                broken.append(error)
                answers.append(client.post(f"{sound_url}/v1/jobs", json=request, headers=headers))

    doomed_url = f"http://127.0.0.1:{doomed.port}"
    threads = [threading.Thread(target=send, args=(doomed_url,)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert broken, "the API did not die"
    assert [answer.status_code for answer in answers] == [202] * CLIENTS, [answer.text for answer in answers]
    with ground.database.reading() as session:
        assert session.scalar(select(func.count()).where(JobRecord.idempotency_key == key)) == 1
    [job_id] = {answer.json()["id"] for answer in answers}
    return str(job_id)
