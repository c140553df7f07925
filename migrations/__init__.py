"""The database's schema, step by step. `python -m migrations` brings a database up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def config() -> Config:
    """Return Alembic's configuration, wherever this package is installed."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    return alembic


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring a database up to a revision. Safe to call twice, and from several processes at once."""
    alembic = config()
    with engine.connect() as connection, connection.begin():
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, revision)
