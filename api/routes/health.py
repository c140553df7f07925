"""Probes for whoever runs the API."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.answers import problems
from api.parts import AppParts
from api.schemas.service import Health, ReadinessReport

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=problems())
def is_alive() -> Health:
    """Say that the process answers."""
    return Health(alive=True)


@router.get(
    "/readyz",
    responses={503: {"model": ReadinessReport, "description": "Something that is required fails."}, **problems()},
)
def is_ready(parts: AppParts, response: Response) -> ReadinessReport:
    """Check the database, its schema, storage and the broker, each for at most about two seconds."""
    report = parts.readiness.report()
    if not report.ready:
        response.status_code = 503
    return report
