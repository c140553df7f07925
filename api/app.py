"""Puts the API together from settings. Opens its connections when it starts, closes them when it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import errors
from api.middleware import BodyLimit, RequestLog
from api.openapi import with_problem_media_type
from api.parts import opened
from api.routes import health, job_controls, job_events, jobs, models, results, styles, webhooks
from api.settings import ApiSettings
from jobs.cards import CardShelf

VERSION = "1"
DESCRIPTION = """\
Give a whole catalogue of product photos one look, as one job.

Upload a style, enqueue a job, watch its counts; the results lie in your own storage. Whatever is refused is answered
with problem details (RFC 9457) under a stable `code`. Where the request itself is to be mended (422), they name each
wrong field, its value and the remedy.
"""


class Api(FastAPI):
    """FastAPI, with a description that tells the media type of problems."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = with_problem_media_type(super().openapi())
        return self.openapi_schema


def create_app(settings: ApiSettings, *, shelf: CardShelf | None = None) -> FastAPI:
    """Return the API. `shelf` is where the models' cards are; None: the folder of the settings."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with opened(settings, shelf or CardShelf(settings.models_dir)) as parts:
            app.state.parts = parts
            yield

    app = Api(
        title="Restyle",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    errors.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestLog)  # added last, it is the outermost
    for routes in (job_controls, jobs, job_events, results, styles, models, webhooks, health):
        app.include_router(routes.router)
    return app
