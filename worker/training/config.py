"""The file that a run is described in, TOML or JSON: `jobs.trainings` says what its members mean."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from jobs.cards import CardShelf
from jobs.errors import InvalidRequest, Problem
from jobs.locations import Location
from jobs.trainings import MODEL_NAME, TAUGHT, Training


class RunConfig(Training):
    """A training run on this machine."""

    name: str = Field(pattern=MODEL_NAME, max_length=64, description="Of the model, in its card.")
    photos: tuple[str, ...] = Field(min_length=1, description="Folders or s3:// prefixes, searched to their depths.")
    references: tuple[str, ...] = Field(
        (), description="The same of the style pictures, where the objective needs any."
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1 …; auto takes a GPU where there is one.")
    threads: int = Field(2, strict=True, ge=1, le=1024, description="Of the CPU; their number decides how sums round.")

    @model_validator(mode="after")
    def _references_fit(self) -> Self:
        if bool(self.references) != (self.objective in TAUGHT):
            raise ValueError(
                f"give references to the objectives {', '.join(TAUGHT)}, and to no other: folders of style pictures"
            )
        return self


def read_config(path: Path) -> RunConfig:
    """Read a run's file. Paths in it are taken from its own folder.

    Raises:
        InvalidRequest: names each member that is not in order.

    """
    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise _refusal("config", str(path), f"name a file that can be read: {error.strerror}") from None
    except ValueError as error:  # what both parsers raise
        raise _refusal("config", str(path), f"write TOML, or JSON in a file that ends in .json: {error}") from None
    config = parse_config(given)
    changes: dict[str, Any] = {
        field: tuple(place_of(place, path.parent, field) for place in getattr(config, field))
        for field in ("photos", "references")
    }
    if config.start_from is not None and config.start_from not in CardShelf().cards:
        changes["start_from"] = str((path.parent / config.start_from).resolve())
    return config.model_copy(update=changes)


def parse_config(given: Mapping[str, Any]) -> RunConfig:
    """Check a run's members.

    Raises:
        InvalidRequest: names each member that is not in order.

    """
    try:
        return RunConfig.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(
            *(
                Problem(
                    field=".".join(map(str, fault["loc"])) or "config",
                    value=None if fault["type"] in ("missing", "value_error") else fault["input"],
                    remedy=_remedy(fault["type"], fault["msg"]),
                )
                for fault in error.errors()
            )
        ) from None


def _remedy(kind: str, message: str) -> str:
    if kind == "missing":
        return "give it: a run needs one"
    if kind == "extra_forbidden":
        return f"leave it out, or correct its spelling; there are {', '.join(RunConfig.model_fields)}"
    return message.removeprefix("Value error, ").replace("Input should be", "it should be")


def _refusal(field: str, value: object, remedy: str) -> InvalidRequest:
    return InvalidRequest(Problem(field=field, value=value, remedy=remedy))


def place_of(place: str, folder: Path, field: str = "photos") -> str:
    """Return a location of pictures as a URL."""
    if "://" in place:
        return str(Location.parse(place, field=field).as_prefix())
    path = (folder / place).resolve()
    if not path.is_dir():
        raise _refusal(field, place, f"name a folder that is there: {path} is not")
    return str(Location.parse(f"file://{path}", field=field).as_prefix())
