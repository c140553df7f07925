"""How Alembic reaches the database: the settings' one, or the connection that a caller hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from jobs.database import Database
from jobs.records import Record
from jobs.settings import Settings

MIGRATION_LOCK = 7_130_526_117  # chosen at random; two upgrades at once must wait for each other


def run(connection: Connection) -> None:
    """Run the asked-for migrations in one transaction, alone."""
    postgres = connection.dialect.name == "postgresql"
    context.configure(
        connection=connection,
        target_metadata=Record.metadata,
        render_as_batch=not postgres,
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if postgres:
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    database = Database(Settings().database_url.get_secret_value())
    with database.engine.connect() as connection, connection.begin():
        run(connection)
    database.close()
