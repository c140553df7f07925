"""Settings that the API, the workers and the migrations share, from RESTYLE_* environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.cards import BUILT_IN

ENVIRONMENT = SettingsConfigDict(env_prefix="RESTYLE_", frozen=True, extra="ignore")


class Settings(BaseSettings):
    """Where the shared parts are."""

    model_config = ENVIRONMENT

    database_url: SecretStr = Field(
        SecretStr("sqlite:///restyle-data/restyle.db"),
        description="Postgres (postgresql+psycopg://user:password@host/name) or SQLite (sqlite:///path).",
    )
    broker_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Celery broker for doorbells: redis://…, redis+socket:///path, amqp://…",
    )
    storage_url: str = Field(
        "file://" + str(Path("restyle-data/storage").absolute()),
        description="The service's own storage, for styles and for results of jobs that name no output_url.",
    )
    allowed_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="URLs, separated by commas, below which sources and outputs may lie. "
        "The service's own storage is always allowed. Empty: nothing else is.",
    )
    s3_endpoint_url: str | None = Field(None, description="For S3 servers other than AWS.")
    s3_region: str | None = Field(None, description="Region of the buckets; the client's default if unset.")
    models_dir: Path = Field(
        BUILT_IN, description="Folder of models: <name>/model.json beside weights.safetensors or weights.onnx."
    )
    queue: str = Field("gpu", pattern=r"^[a-z][a-z0-9-]*$", description="Class of workers that run jobs.")
    webhook_allow_private: bool = Field(
        False,
        description="Let webhooks lead to private addresses, and use http: for tests and inner networks only.",
    )
    log_format: Literal["json", "console"] = Field("json", description="One JSON object a line, or for people.")

    @field_validator("allowed_prefixes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("postgresql+psycopg://", "sqlite:///")):
            raise ValueError("must start with postgresql+psycopg:// or sqlite:///")
        return value

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if not value.startswith(("s3://", "file:///")):
            raise ValueError("must start with s3:// or file:///")
        return value.rstrip("/")
