"""Model cards: what a model is, where it came from, and which parameters a recipe may set.

Cards are plain files (`model.json`) beside their weights, so the API knows every model without loading torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.errors import InvalidRequest, Problem
from jobs.looks import Region

Operation = Literal["restyle", "segment", "describe", "generate", "translate", "upscale", "inpaint"]

SCALES = (2, 3, 4)
TEXT = "text"  # the attribute of a wish that is a sentence

BUILT_IN = Path(__file__).parent.parent / "worker" / "weights"


class Parameter(BaseModel):
    """One knob of a model, in the words of JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["number", "integer", "boolean", "string"]
    description: str
    default: float | int | bool | str
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] | None = None  # of a string: what it may be
    local: bool = False  # whether it tells one place of a picture from another, which no colour table can
    # Whether the model had recipes before it had this: it is left out of those that give it its default, so that they
    # are written and identified as before.
    later: bool = False

    def remedy(self) -> str:
        """Say what this parameter accepts."""
        if self.type == "boolean":
            return "give true or false"
        if self.type == "string":
            return f"give one of {', '.join(self.enum or ())}"
        kind = "a whole number" if self.type == "integer" else "a number"
        return f"give {kind} from {self.minimum:g} to {self.maximum:g}"

    def accepts(self, value: object) -> bool:
        if self.type == "boolean":
            return isinstance(value, bool)
        if self.type == "string":
            return value in (self.enum or ())
        kinds = int if self.type == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        low = float("-inf") if self.minimum is None else self.minimum
        high = float("inf") if self.maximum is None else self.maximum
        return low <= value <= high


class Segmentation(BaseModel):
    """The config of a model that finds products: how its network wants a picture, and what it answers.

    The network takes one picture, scaled to a square, RGB, (value ÷ 255 − mean) ÷ std, as float32; its first output
    says for each place how sure it is that the product is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side_px: int = Field(ge=16, le=4096)  # of the square
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    layout: Literal["nchw", "nhwc"] = "nchw"
    activation: Literal["none", "sigmoid"] = "none"  # that the network itself leaves to others; there is no threshold

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self


class Generation(BaseModel):
    """What the config of a model that generates says to everybody; the rest is its network's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    side_px: int = Field(ge=8, le=4096)  # of its pictures, which are square
    attributes: dict[str, tuple[str, ...]] = {}  # that it knows, and the words of each; none: any text

    @property
    def worded(self) -> dict[str, tuple[str, ...]]:
        """The attributes that have words."""
        return {name: words for name, words in self.attributes.items() if words}

    @property
    def reads_sentences(self) -> bool:
        """Whether its words are looked for in the sentence of a wish: where it takes none as it stands."""
        return bool(self.worded) and TEXT not in self.attributes

    @property
    def wishable(self) -> dict[str, tuple[str, ...]]:
        """The attributes that a wish may have."""
        return self.attributes | ({TEXT: ()} if self.reads_sentences else {})


class Card(BaseModel):
    """A model card, as read from `model.json`. Frozen: a changed model is a new version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    version: str
    operation: Operation
    architecture: str  # the pipeline that runs it: a module in worker/pipelines; onnx of one that segments
    summary: str
    needs_style: bool = False  # whether a recipe must name a style
    acts_on: Region = "all"  # where it acts unless a recipe says otherwise: of painterly looks the background
    tables: bool = False  # whether all that it does to a picture is one colour table, which `format: cube` writes
    # In which the network may compute, where a device has instructions for it. `metrics` then say how near its pictures
    # come to those of float32: `bfloat16_psnr_db`.
    precision: Literal["float32", "bfloat16"] = "float32"
    parameters: dict[str, Parameter] = {}
    config: dict[str, Any] = {}  # constructor arguments of the network
    weights_sha256: str | None = None  # of the file beside the card; null when the model learns nothing
    licence: str
    training: dict[str, Any] | None = None  # command, seed, data with digest and licence, device, duration
    metrics: dict[str, float] = {}
    limits: list[str] = []

    @model_validator(mode="after")
    def _fits_its_operation(self) -> Self:
        if self.operation == "generate":
            Generation.model_validate(self.config)
        if self.operation == "upscale" and self.config.get("scale") not in SCALES:
            raise ValueError(f"a model of the operation upscale needs a scale in its config, one of {SCALES}")
        if self.precision == "bfloat16" and "bfloat16_psnr_db" not in self.metrics:
            raise ValueError("a model that may compute in bfloat16 says in metrics.bfloat16_psnr_db what that costs")
        if self.operation == "segment":
            Segmentation.model_validate(self.config)
            if self.weights_sha256 is None:
                raise ValueError(f"a model of the operation segment needs the sha256 of its {self.weights_file}")
        return self

    @property
    def weights_file(self) -> str:
        """The name of the file beside the card that has what the model has learned."""
        return "weights.onnx" if self.operation == "segment" else "weights.safetensors"

    @property
    def segmentation(self) -> Segmentation:
        """The config of a model of the operation segment."""
        return Segmentation.model_validate(self.config)

    @property
    def generation(self) -> Generation:
        """What pictures a model of the operation generate makes."""
        return Generation.model_validate(self.config)

    @property
    def scale(self) -> int:
        """How many times as wide and as high as its source a picture becomes."""
        return int(self.config["scale"]) if self.operation == "upscale" else 1

    def complete(self, given: dict[str, Any], *, field: str = "recipe.parameters") -> dict[str, Any]:
        """Return the parameters with defaults filled in; one that came later is there only where it is not the default.

        `field`: where a request has them.

        Raises:
            InvalidRequest: a name that the model does not have, or a value that it does not accept.

        """
        problems = [
            Problem(
                field=f"{field}.{name}",
                value=value,
                remedy=f"{self.name} has no such parameter; it has {', '.join(sorted(self.parameters)) or 'none'}",
            )
            if name not in self.parameters
            else Problem(field=f"{field}.{name}", value=value, remedy=self.parameters[name].remedy())
            for name, value in given.items()
            if name not in self.parameters or not self.parameters[name].accepts(value)
        ]
        if problems:
            raise InvalidRequest(*problems)
        values = {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}
        return {
            name: value
            for name, value in values.items()
            if not (self.parameters[name].later and value == self.parameters[name].default)
        }


@dataclass(frozen=True)
class CardShelf:
    """The cards under one folder: `<folder>/<name>/model.json`."""

    folder: Path = BUILT_IN

    @cached_property
    def cards(self) -> dict[str, Card]:
        paths = sorted(self.folder.glob("*/model.json"))
        cards = [Card.model_validate(json.loads(path.read_text(encoding="utf-8"))) for path in paths]
        return {card.name: card for card in cards}

    def get(self, name: str, *, operation: str | None = None, field: str = "recipe.model") -> Card:
        """Return the card of a model. `operation`: that it must have; `field`: where a request names it.

        Raises:
            InvalidRequest: there is no model of this name, or it is one of another operation.

        """
        card = self.cards.get(name)
        if card is not None and operation in (None, card.operation):
            return card
        fitting = [each.name for each in self.cards.values() if operation in (None, each.operation)]
        remedy = f"choose one of {', '.join(fitting)}" if fitting else "leave it out: there is no such model here"
        if card is not None:
            remedy += f"; {name} is there to {card.operation}"
        code = "unknown_model" if card is None else "wrong_operation"
        raise InvalidRequest(Problem(field=field, value=name, remedy=remedy), code=code)
