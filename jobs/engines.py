"""What computed a job's pictures: the facts behind the digest that each result carries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.database import append_missing
from jobs.records import EngineRecord

Facts = Mapping[str, Any]


def record_engines(session: Session, engines: Mapping[str, Facts]) -> None:
    """Keep the facts of some digests; those that are known stay as they are."""
    if engines:
        append_missing(
            session, EngineRecord, [{"digest": digest, "facts": dict(engines[digest])} for digest in sorted(engines)]
        )


def engine_facts(session: Session, digests: Collection[str]) -> dict[str, Facts]:
    """Return the facts of some digests."""
    rows = session.execute(
        select(EngineRecord.digest, EngineRecord.facts)
        .where(EngineRecord.digest.in_(digests))
        .order_by(EngineRecord.digest)
    )
    return {row.digest: row.facts for row in rows}
