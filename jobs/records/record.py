"""What every record is made of: its class, and the types of its columns."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, REAL, BigInteger, DateTime, Dialect, Enum, Integer, MetaData, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
RowNumber = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself in an INTEGER only


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """An aware moment in UTC; SQLite keeps it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        if value is None:
            return None
        utc = value.astimezone(datetime.UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        if value is None:
            return None
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(tzinfo=datetime.UTC)


class Figures(TypeDecorator[dict[str, float]]):
    """Figures by name, in a fixed order: on Postgres 4 bytes each, for there is one row an item.

    What is new goes to the end of the order, and what is given up leaves its place behind.
    """

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(REAL()))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def process_bind_param(self, value: dict[str, float] | None, dialect: Dialect) -> list[float | None] | None:
        return None if value is None else self.ordered(value)

    def process_result_value(self, value: list[float | None] | None, dialect: Dialect) -> dict[str, float] | None:
        if value is None:
            return None
        # As many digits as 4 bytes hold: the others would be noise.
        return {name: float(f"{each:.6g}") for name, each in zip(self.names, value, strict=False) if each is not None}

    def ordered(self, value: Mapping[str, float]) -> list[float | None]:
        """Return the figures in their order; None for those that are not there."""
        return [value.get(name) for name in self.names]


def one_of(members: type[StrEnum], name: str) -> Enum:
    """Return a column type for the members' values, held by a CHECK constraint."""
    return Enum(
        members,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda enum: [member.value for member in enum],
    )


class Record(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own way to say it
        datetime.datetime: UtcDateTime(),
        str: Text(),
        dict[str, Any]: Json,
    }
