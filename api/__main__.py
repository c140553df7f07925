"""`python -m api` serves the API until it is told to stop; requests under way are answered first."""

from __future__ import annotations

import contextlib
import socket
import sys

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings
from jobs.logs import configure

SHUTDOWN_SECONDS = 10  # for requests under way
NOT_STARTED = 3  # exit code, as uvicorn's own


class Server(uvicorn.Server):
    """Uvicorn; when it stops, those who wait for news of a job are let go before other requests are waited for."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.parts.watchers.stop()
        await super().shutdown(sockets)


def main() -> None:
    settings = ApiSettings()
    configure(settings.log_format)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,  # lines come through jobs.logs, one a request from api.middleware
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = Server(config, app)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
