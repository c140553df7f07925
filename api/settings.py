"""Settings of the API process, on top of those that all processes share."""

from __future__ import annotations

from pydantic import Field

from jobs.settings import Settings


class ApiSettings(Settings):
    """Where the API listens."""

    host: str = Field("127.0.0.1", description="Address that the API listens on; 0.0.0.0 for every network.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port that the API listens on.")
