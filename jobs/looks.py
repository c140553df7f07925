"""What a recipe says of looks: models in a row, where each acts, a brand's colours, backgrounds and masks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt

from jobs.plain import Plain

Word = Annotated[str, Field(strict=True, max_length=64, pattern=r"^[a-z][a-z0-9-]*$")]
ParameterValue = StrictFloat | StrictInt | StrictBool | Word
"""No text that happens to hold a number; which of the four a parameter takes, its card says."""

Region = Literal["all", "product", "background"]
"""Where a model acts: what lies outside keeps every byte, along the mask's soft edge both are mixed."""


class Step(Plain):
    """A model that a picture goes through."""

    model: str = Field(description="Name of a model, see GET /v1/models.", examples=["reinhard"])
    style: str | None = Field(None, description="Name of a style, where the model needs one.")
    parameters: dict[str, ParameterValue] = Field({}, description="Knobs of the model, see its card.")
    on: Region | None = Field(None, description="Where it acts; null: where its card says.")


def _lower(colour: str) -> str:
    return colour.lower()


Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", examples=["#c8102e"]), AfterValidator(_lower)]
"""An sRGB colour, red, green and blue in hexadecimal digits."""

Shadow = Annotated[
    float, Field(strict=True, ge=0, le=1, description="How dark a soft shadow is where the product stands; 0: none.")
]


class ProtectedColour(Plain):
    """A colour that no look may take away: a brand's own."""

    colour: Colour
    delta_e: float = Field(
        2.0, strict=True, gt=0, le=20, description="How far it, and what is very near to it, may move: ΔE CIE 2000."
    )


class KeptBackground(Plain):
    """The photo's own background, with the look at a strength of its own."""

    type: Literal["kept"] = "kept"
    strength: float = Field(strict=True, ge=0, le=1, description="0: as it is; 1: the whole look.")


class ColourBackground(Plain):
    """One colour in the background's place."""

    type: Literal["colour"] = "colour"
    colour: Colour
    shadow: Shadow = 0.0


class GradientBackground(Plain):
    """One colour that becomes another from top to bottom."""

    type: Literal["gradient"] = "gradient"
    top: Colour
    bottom: Colour
    shadow: Shadow = 0.0


class PictureBackground(Plain):
    """A picture, scaled to cover each photo, from its middle."""

    type: Literal["picture"] = "picture"
    url: str = Field(description="The picture.", examples=["s3://shop/backgrounds/oak.jpg"])
    shadow: Shadow = 0.0


Background = KeptBackground | ColourBackground | GradientBackground | PictureBackground
MaskSource = Literal["manifest", "alpha", "plain"]


class SegmentedMask(Plain):
    """A mask that a model of the operation segment finds in the picture."""

    model: str = Field(description="Name of a model of the operation segment.", examples=["ours-segmenter"])
