"""Webhooks over HTTP, on both databases."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from api.app import create_app
from jobs import deliveries, events, webhooks
from jobs.calls import Answer
from jobs.database import Database
from jobs.events import EventKind
from jobs.records import WebhookDeliveryRecord, WebhookRecord
from jobs.states import DeliveryState, JobState
from jobs.webhooks import MAX_WEBHOOKS
from tests.api.conftest import serving
from tests.factories import make_job, make_webhook

if TYPE_CHECKING:
    import httpx

    from api.settings import ApiSettings

PUBLIC = "https://93.184.215.14/hook"


def add_webhook(database: Database, **columns: Any) -> str:
    with database.transaction() as session:
        return str(make_webhook(session, **columns).id)


def tell(database: Database, count: int = 1) -> None:
    with database.transaction() as session:
        for _ in range(count):
            events.record(session, "default", make_job(session).id, "job.ended", actor="worker")


def send(database: Database, status: int) -> None:
    with database.transaction() as session:
        messages = deliveries.claim(session, limit=100)
    for message in messages:
        with database.transaction() as session:
            deliveries.record_answer(session, message, Answer(status=status, error=None, milliseconds=7))


def test_a_webhook_is_created_and_shows_its_secret_once(api: httpx.Client) -> None:
    created = api.post("/v1/webhooks", json={"url": PUBLIC, "kinds": ["job.ended", "job.paused", "job.ended"]})
    body = created.json()
    assert created.status_code == 201
    assert body["secret"].startswith("whsec_")
    assert created.headers["Location"] == f"/v1/webhooks/{body['id']}"
    found = api.get(created.headers["Location"]).json()
    assert found == {name: value for name, value in body.items() if name != "secret"}
    assert (found["url"], found["kinds"], found["disabled_at"]) == (PUBLIC, ["job.ended", "job.paused"], None)
    assert api.get("/v1/webhooks").json() == {"data": [found]}


def test_a_webhook_without_kinds_wants_all(api: httpx.Client) -> None:
    assert api.post("/v1/webhooks", json={"url": PUBLIC}).json()["kinds"] is None


@pytest.mark.parametrize(
    "url",
    ["http://93.184.215.14/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://169.254.169.254/"],
)
def test_an_address_inside_is_refused(api: httpx.Client, url: str) -> None:
    refused = api.post("/v1/webhooks", json={"url": url})
    assert (refused.status_code, refused.json()["code"]) == (422, "webhook_url_refused")
    assert refused.json()["errors"][0]["field"] == "url"
    assert api.get("/v1/webhooks").json() == {"data": []}


def test_an_address_inside_may_be_allowed(settings: ApiSettings, clean: None) -> None:
    allowing = settings.model_copy(update={"webhook_allow_private": True})
    with serving(create_app(allowing)) as api:
        assert api.post("/v1/webhooks", json={"url": "http://127.0.0.1:1/"}).status_code == 201


def test_an_unknown_kind_is_refused_with_the_kinds_that_there_are(api: httpx.Client) -> None:
    refused = api.post("/v1/webhooks", json={"url": PUBLIC, "kinds": ["job.danced"]})
    assert refused.status_code == 422
    [fault] = refused.json()["errors"]
    assert fault["field"] == "kinds.0"
    assert all(kind in fault["remedy"] for kind in EventKind)


def test_a_tenant_has_only_so_many_webhooks(api: httpx.Client, database: Database) -> None:
    for _ in range(MAX_WEBHOOKS):
        add_webhook(database)
    refused = api.post("/v1/webhooks", json={"url": PUBLIC})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")


def test_a_rotation_keeps_the_newest_secret_and_drops_the_older(api: httpx.Client, database: Database) -> None:
    created = api.post("/v1/webhooks", json={"url": PUBLIC}).json()
    secrets = [created["secret"]]
    for _ in range(2):
        rotated = api.post(f"/v1/webhooks/{created['id']}/rotate")
        assert (rotated.status_code, rotated.json()["secret_count"]) == (200, 2)
        secrets.append(rotated.json()["secret"])
    with database.reading() as session:
        assert session.get_one(WebhookRecord, uuid.UUID(created["id"])).secrets == secrets[1:]


def test_a_webhook_is_deleted_with_its_messages(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BATCH_ROWS", 2)
    webhook_id, other = add_webhook(database), add_webhook(database)
    tell(database, 5)
    assert api.delete(f"/v1/webhooks/{webhook_id}").status_code == 204
    assert api.get(f"/v1/webhooks/{webhook_id}").status_code == 404
    assert api.get(f"/v1/webhooks/{webhook_id}/deliveries").status_code == 404
    assert api.delete(f"/v1/webhooks/{webhook_id}").status_code == 404
    assert len(api.get(f"/v1/webhooks/{other}/deliveries").json()["data"]) == 5


def test_the_log_tells_what_came_of_each_message(api: httpx.Client, database: Database) -> None:
    webhook_id = add_webhook(database)
    tell(database)
    send(database, 500)
    [failed] = api.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"]
    assert (failed["kind"], failed["state"], failed["attempt"]) == ("job.ended", "pending", 1)
    assert failed["due_at"] > failed["created_at"]
    [attempt] = failed["log"]
    assert (attempt["status"], attempt["error"], attempt["milliseconds"]) == (500, None, 7)


def test_the_log_is_read_page_by_page_and_by_state(api: httpx.Client, database: Database) -> None:
    webhook_id = add_webhook(database)
    tell(database, 3)
    send(database, 204)
    tell(database, 2)
    path = f"/v1/webhooks/{webhook_id}/deliveries"
    pages, cursor = [], None
    while not pages or cursor is not None:
        page = api.get(path, params={"limit": 2} | ({} if cursor is None else {"cursor": cursor})).json()
        pages.append([each["event_id"] for each in page["data"]])
        cursor = page["next_cursor"]
    assert [len(page) for page in pages] == [2, 2, 1]
    ids = list(itertools.chain(*pages))
    assert ids == sorted(ids, reverse=True)
    assert len(api.get(path, params={"state": "pending"}).json()["data"]) == 2
    assert len(api.get(path, params={"state": "delivered"}).json()["data"]) == 3


def test_a_message_is_sent_again_on_demand(api: httpx.Client, database: Database) -> None:
    webhook_id = add_webhook(database)
    tell(database)
    with database.transaction() as session:
        session.execute(update(WebhookDeliveryRecord).values(state=DeliveryState.FAILED, attempt=10))
    [failed] = api.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"]
    replayed = api.post(f"/v1/webhooks/{webhook_id}/deliveries/{failed['id']}/replay")
    assert replayed.status_code == 202
    assert (replayed.json()["id"], replayed.json()["state"], replayed.json()["attempt"]) == (failed["id"], "pending", 0)
    send(database, 204)
    [delivered] = api.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"]
    assert (delivered["state"], delivered["due_at"]) == ("delivered", None)


def test_nothing_is_replayed_to_a_receiver_that_is_gone(api: httpx.Client, database: Database) -> None:
    webhook_id = add_webhook(database)
    tell(database)
    send(database, 410)
    [failed] = api.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"]
    assert failed["state"] == "failed"
    assert api.get(f"/v1/webhooks/{webhook_id}").json()["disabled_at"] is not None
    refused = api.post(f"/v1/webhooks/{webhook_id}/deliveries/{failed['id']}/replay")
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")


def test_what_a_receiver_ended_can_be_enabled_and_its_messages_sent_again(
    api: httpx.Client, database: Database
) -> None:
    webhook_id = add_webhook(database)
    path = f"/v1/webhooks/{webhook_id}"
    tell(database)
    send(database, 410)
    tell(database)
    for _ in range(2):
        enabled = api.post(f"{path}/enable")
        assert (enabled.status_code, enabled.json()["disabled_at"]) == (200, None)
    assert enabled.json() == api.get(path).json()
    tell(database)
    missed, refused = api.get(f"{path}/deliveries").json()["data"]
    assert (missed["state"], refused["state"]) == ("pending", "failed"), "what happened in between is not told"
    assert api.post(f"{path}/deliveries/{refused['id']}/replay").status_code == 202
    send(database, 204)
    assert [each["state"] for each in api.get(f"{path}/deliveries").json()["data"]] == ["delivered", "delivered"]


def test_an_owner_disables_a_webhook_for_a_while(api: httpx.Client, database: Database) -> None:
    webhook_id = add_webhook(database)
    path = f"/v1/webhooks/{webhook_id}"
    disabled = api.post(f"{path}/disable")
    assert disabled.status_code == 200
    assert disabled.json()["disabled_at"] is not None
    assert api.post(f"{path}/disable").json() == disabled.json(), "since when it is disabled does not change"
    tell(database)
    assert api.get(f"{path}/deliveries").json()["data"] == []
    api.post(f"{path}/enable")
    tell(database)
    send(database, 204)
    [delivered] = api.get(f"{path}/deliveries").json()["data"]
    assert delivered["state"] == "delivered"


def test_a_webhook_of_another_tenant_is_as_good_as_absent(api: httpx.Client, database: Database) -> None:
    foreign = add_webhook(database, tenant_id="other")
    for webhook_id in (foreign, uuid.uuid4()):
        path = f"/v1/webhooks/{webhook_id}"
        for answer in (
            api.get(path),
            api.delete(path),
            api.post(f"{path}/rotate"),
            api.post(f"{path}/disable"),
            api.post(f"{path}/enable"),
            api.get(f"{path}/deliveries"),
            api.post(f"{path}/deliveries/{uuid.uuid4()}/replay"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert api.get("/v1/webhooks").json() == {"data": []}
    with database.reading() as session:
        assert session.get(WebhookRecord, uuid.UUID(foreign)) is not None


def test_an_enqueued_job_is_told_of(api: httpx.Client, database: Database, job_request: dict[str, Any]) -> None:
    webhook_id = add_webhook(database)
    job = api.post("/v1/jobs", json=job_request).json()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    told = api.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["data"]
    assert [each["kind"] for each in told] == ["job.cancelling", "job.enqueued"]
    assert {each["job_id"] for each in told} == {job["id"]}
    assert job["state"] == JobState.PLANNING
