"""What a training run is told, apart from where its photos lie: plain data, checked before any work starts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MODEL_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
WEIGHTS = "weights.safetensors"  # the output of a job that trains, in a folder of the model's name
CARD = "model.json"  # beside it

Count = Annotated[int, Field(strict=True, ge=1, le=100_000_000)]
Size = Annotated[int, Field(strict=True, ge=1, le=4096)]


TAUGHT = ("any_painting", "painter")  # objectives that learn from style pictures, with the teacher's help
SEEN = ("super_resolution_sharp",)  # objectives that learn with the teacher's help, and no style pictures
KINDS = ("cycle_gan",)  # objectives that learn from two kinds of photos: the first two words of one attribute
WORDED = (
    *KINDS,
    "attribute_reader",
    "diffusion",
    "gan",
    "growing_gan",
    "pix2pix",
    "sentence_reader",
    "style_gan",
    "vae",
    "wasserstein_gan",
)  # objectives that can learn what words mean: attributes of a manifest
PAIRED = ("pix2pix",)  # objectives that learn from pictures that belong to a photo: sidecars of a manifest

Column = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]


class Training(BaseModel):
    """How a network is trained. The same photos, settings and kind of machine give the same weights, to the byte."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal[
        "reference_grade",
        "any_painting",
        "attribute_reader",
        "brand_look",
        "cycle_gan",
        "diffusion",
        "gan",
        "growing_gan",
        "inpainting",
        "painter",
        "pix2pix",
        "sentence_reader",
        "style_gan",
        "super_resolution",
        "super_resolution_sharp",
        "vae",
        "vq_vae",
        "wasserstein_gan",
    ] = Field(
        "reference_grade",
        description="What is learned: to carry over the grade of any reference, the look that the photos have, to "
        "paint in the manner of a few style pictures, or of any; to read words off pictures, or out of "
        "sentences; to make pictures; to turn drawings or one kind of picture into another, to fill what is missing, "
        "to enlarge.",
    )
    licence: str = Field(
        min_length=1, max_length=200, description="Licence of the photos, and of style pictures, for the card."
    )
    seed: int = Field(0, strict=True, ge=0, lt=2**63, description="Of every random choice.")
    iterations: Count | None = Field(None, description="How many steps; or give minutes.")
    minutes: float | None = Field(
        None, gt=0, le=100_000, description="How long, all attempts together; or give iterations, which repeat exactly."
    )
    batch: Count = Field(24, description="Examples per iteration.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak rate of AdamW; it falls along a cosine.")
    warm_up: int = Field(200, strict=True, ge=0, description="Iterations over which the rate rises.")
    ema: float = Field(0.998, ge=0, lt=1, description="Decay of the moving average of the weights, which is the model.")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="bfloat16: mixed, by autocast.")
    augment: bool = Field(False, description="Turn, scale, blur and roughen the photos first; for few photos.")
    held_out_every: int = Field(
        20, strict=True, ge=2, le=1000, description="Every so many photos, one is kept for measuring."
    )
    measure_every: Count = Field(250, description="Iterations between two measures on the photos held out.")
    patience: Count | None = Field(
        None, description="Measures in a row without a new best after which the run ends; the model is the best one."
    )
    checkpoint_every: Count = Field(250, description="Iterations that a crash may cost.")
    sample_every: Count = Field(1000, description="Iterations between two sample sheets.")
    start_from: str | None = Field(None, description="Model to go on from: a built-in name, or a model's folder.")
    freeze: tuple[str, ...] = Field((), description="Parameters whose names start like this stay as they are.")
    sparsity: float | None = Field(None, gt=0, lt=1, description="Share of weights that become 0, smallest first.")
    attributes: tuple[Column, ...] = Field(
        (), max_length=16, description="Columns of the folders' manifest.csv whose words are learned."
    )
    sidecars: tuple[Column, ...] = Field(
        (), max_length=4, description="Columns of manifest.csv that name pictures beside the photos: masks, edges …"
    )
    weights: Literal["float32", "float16", "int8"] = Field(
        "float32", description="How the model's file holds them: float16 takes half of the bytes, int8 about a quarter."
    )
    network: dict[str, Size] = Field({}, description="Sizes of the network; those of the objective where left out.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.iterations is None) == (self.minutes is None):
            raise ValueError("give either iterations or minutes")
        if self.start_from is None and (self.freeze or self.sparsity):
            raise ValueError("freeze and sparsity need start_from: only what was trained before is worth keeping")
        if self.start_from is not None and self.network:
            raise ValueError("leave network out: its sizes are those of start_from")
        for field, columns, able in (("attributes", self.attributes, WORDED), ("sidecars", self.sidecars, PAIRED)):
            if columns and self.objective not in able:
                raise ValueError(f"give {field} to the objectives {', '.join(able) or '(none)'}, and to no other")
            if len(set(columns)) < len(columns):
                raise ValueError(f"name each of the {field} once")
        if self.objective in PAIRED and not self.sidecars:
            raise ValueError("name sidecars: the first is what pictures are to be made from, edges or masks or depth")
        if self.objective in KINDS and len(self.attributes) != 1:
            raise ValueError("name one of the attributes, whose first two words are the kinds to turn into one another")
        if self.sidecars and self.augment:
            raise ValueError("leave augment out: it would move photos, and not their sidecars")
        return self
