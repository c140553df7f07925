"""`python -m api` serves the API until it is told to stop; requests under way are answered first."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from api.settings import ApiSettings
from jobs.logs import configure

SHUTDOWN_SECONDS = 10  # for requests under way


def main() -> None:
    settings = ApiSettings()
    configure(settings.log_format)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,  # lines come through jobs.logs, one a request from api.middleware
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
