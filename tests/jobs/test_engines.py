"""The facts behind the digests of engines, on both databases."""

from __future__ import annotations

from jobs.database import Database
from jobs.engines import engine_facts, record_engines

FACTS = {"device": "NVIDIA H100", "torch": "2.13.0+cu130", "weights_sha256": None}


def test_an_engine_is_recorded_once_and_stays_as_it_was(database: Database) -> None:
    with database.transaction() as session:
        record_engines(session, {"b": {"device": "other"}, "a": FACTS})
    with database.transaction() as session:
        record_engines(session, {"a": {"device": "changed"}, "c": {}})
        record_engines(session, {})
    with database.reading() as session:
        assert engine_facts(session, ["a", "b", "unknown"]) == {"a": FACTS, "b": {"device": "other"}}
        assert engine_facts(session, []) == {}
