"""`diffusers`: large models of other makers, as pipelines of the library of that name, from a folder of safetensors.

What a model is asked to show is the card's `prompt`, in which `{attribute}` stands for a wish's word. Chance is a
processor's, by the seed; each picture is computed by itself, so its bytes do not depend on the batch. Pictures are
computed at `side_px`, and what came of that is brought to their own size.
"""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    ControlNetModel,
)
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from worker.pipelines.base import Batch, Parameters, Wish
from worker.pipelines.by_painting import run_by_painting
from worker.pipelines.by_table import check, mean_code
from worker.pipelines.resizing import Enlarged, padded, smaller, strips

STEP_PX = 64  # sides that every such network takes are multiples of it
CONTROL = "controlnet"  # folders and files beside that of the pipeline
LORA = "lora.safetensors"
ADAPTER, ENCODER = "ip_adapter.safetensors", "image_encoder"
MEAN, DEVIATION = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)  # of the pictures that CLIP learned from


class _Large:
    """What all of them share: the library's pipeline, and how it is asked."""

    def __init__(self, pipe: Any, config: Mapping[str, Any], device: torch.device) -> None:
        self._pipe = pipe
        self._device = device
        self.side_px = int(config["side_px"])
        self._prompt = str(config.get("prompt", ""))
        self._unwanted = str(config.get("negative_prompt", ""))

    def _made(self, seed: int, parameters: Parameters, words: Mapping[str, str], **given: Any) -> Tensor:
        """Return one picture, float [1, 3, h, w] in [0, 1]. Parameters: `steps` and `guidance`."""
        found: Tensor = self._pipe(
            prompt=_filled(self._prompt, words),
            negative_prompt=self._unwanted,
            num_inference_steps=int(parameters["steps"]),
            guidance_scale=float(parameters["guidance"]),
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
            **given,
        ).images
        return found.float().clamp(0, 1).to(self._device)


class FromWords(_Large):
    """Makes pictures; see `worker.pipelines.base.GeneratingPipeline`."""

    def __init__(self, pipe: Any, config: Mapping[str, Any], device: torch.device) -> None:
        super().__init__(pipe, config, device)
        self.attributes: Mapping[str, Sequence[str]] = config.get("attributes", {})

    @torch.inference_mode()
    def generate(self, wishes: Sequence[Wish], parameters: Parameters) -> Tensor:
        """Make pictures.

        Raises:
            ValueError: an attribute that the model does not know.

        """
        return torch.cat([self._one(wish, parameters) for wish in wishes])

    def _one(self, wish: Wish, parameters: Parameters) -> Tensor:
        unknown = wish.attributes.keys() - self.attributes.keys()
        if unknown:
            raise ValueError(f"there is no attribute {min(unknown)}; there are {', '.join(self.attributes) or 'none'}")
        made = self._made(wish.seed, parameters, wish.attributes, height=self.side_px, width=self.side_px)
        return (made * 255).round().to(torch.uint8)


class _OfPictures(_Large, ABC):
    """Makes pictures of pictures; see `worker.pipelines.base.Pipeline`. The seed is a parameter, the same for all."""

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor | None:
        """Return what an IP-Adapter is told of references, float [2, 1, D]: of nothing, and of them. None without one.

        After Ye et al. 2023, "IP-Adapter", arXiv:2308.06721; of several references the mean.
        """
        encoder = getattr(self._pipe, "image_encoder", None)
        if encoder is None:
            return None
        return mean_code(references, weights, lambda picture: _seen(picture, encoder))

    @abstractmethod
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor: ...

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Work on one picture that stays in memory: only a small copy goes to the device."""
        return self.run(batch, style, parameters)

    def _of(self, style: Tensor | None, parameters: Parameters, image: Tensor, **given: Any) -> Tensor:
        """Return what comes of a small picture, float [1, 3, h, w] in [0, 1], or of its drawing."""
        if style is not None:  # without guidance the library does not ask what nothing would look like
            given |= {"ip_adapter_image_embeds": [style if float(parameters["guidance"]) > 1 else style[1:]]}
        height, width = image.shape[2:]
        tensors = {name: each for name, each in given.items() if isinstance(each, Tensor)}
        whole = {name: padded(each, STEP_PX, STEP_PX) for name, each in ({"image": image} | tensors).items()}
        given |= whole | self._sizes(whole["image"])
        made = self._made(int(parameters["seed"]), parameters, {}, **given)
        return made[:, :, :height, :width]

    def _sizes(self, whole: Tensor) -> dict[str, int]:
        """Return what the library wants to be told of the size of a picture."""
        return {"height": whole.shape[2], "width": whole.shape[3]}


class FromPictures(_OfPictures):
    """Restyles: what was changed at the small size is added to the picture, which keeps its own detail."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Restyle the pictures. Parameters: `freedom`, of how much noise it starts, and `strength`."""
        freedom = float(parameters["freedom"])
        return run_by_painting(
            batch,
            lambda small: self._of(style, parameters, small, strength=freedom) if freedom else small,
            parameters,
            side=self.side_px,
            device=self._device,
        )

    def _sizes(self, whole: Tensor) -> dict[str, int]:
        return {}  # it sees


class Fills(_OfPictures):
    """Makes anew what the masks mark: a background, say. The worker gives everything else its bytes back."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Fill the pictures.

        Raises:
            ValueError: the batch is not what its contract says, or has no masks.

        """
        check(batch)
        if batch.masks is None:
            raise ValueError("there are no masks: they say what is to be made anew")
        result = batch.images.clone(memory_format=torch.contiguous_format)
        for number, (height, width) in enumerate(batch.sizes):
            small = smaller(batch.images[number, :, :height, :width], self.side_px, self._device)
            mask = smaller(batch.masks[number, :, :height, :width], self.side_px, self._device)
            filled = self._of(style, parameters, small, mask_image=(mask > 0).float(), strength=1.0)
            _put(result[number], filled, height, width)
        return result


class FromDrawings(_OfPictures):
    """Turns a sketch, a mask or a depth into a photo (ControlNet, Zhang et al. 2023, arXiv:2302.05543)."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Translate the pictures.

        Raises:
            ValueError: the batch is not what its contract says.

        """
        check(batch)
        result = batch.images.clone(memory_format=torch.contiguous_format)
        for number, (height, width) in enumerate(batch.sizes):
            small = smaller(batch.images[number, :, :height, :width], self.side_px, self._device)
            _put(result[number], self._of(style, parameters, small), height, width)
        return result


KINDS: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "generate": (FromWords, AutoPipelineForText2Image),
    "restyle": (FromPictures, AutoPipelineForImage2Image),
    "inpaint": (Fills, AutoPipelineForInpainting),
    "translate": (FromDrawings, AutoPipelineForText2Image),
}
"""By operation: what runs it, and what finds the library's pipeline for it."""


def load(operation: str, config: Mapping[str, Any], folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """Build the pipeline of an operation from a folder: the library's own, or one that has that in `pipeline`, with a
    `controlnet` to translate, and perhaps a `lora.safetensors`, and an `ip_adapter.safetensors` with its
    `image_encoder`. Nothing is fetched, and only safetensors are read.

    Raises:
        OSError, ValueError: a file is missing, or is not what the library takes.

    """
    kind, finds = KINDS[operation]
    how: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    control = {"controlnet": _control(folder, how)} if kind is FromDrawings else {}
    own = folder / "pipeline"
    pipe = finds.from_pretrained(own if own.is_dir() else folder, **control, **how)
    if kind is not FromWords and (folder / ADAPTER).is_file():
        pipe.image_encoder = CLIPVisionModelWithProjection.from_pretrained(folder / ENCODER, **how)
        pipe.load_ip_adapter(folder, subfolder="", weight_name=ADAPTER, image_encoder_folder=None)
    pipe.set_progress_bar_config(disable=True)
    if (folder / LORA).is_file():
        pipe.load_lora_weights(folder, weight_name=LORA)
    return kind(pipe.to(device), config, device)


def _seen(picture: Tensor, encoder: Any) -> Tensor:
    """Return how an encoder sees a picture, uint8 [3, h, w] -> float [2, 1, D]: zeros, and the code."""
    side = encoder.config.image_size
    whole = picture[None].to(encoder.device).float() / 255
    small = F.interpolate(whole, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    mean, deviation = (small.new_tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
    code = encoder(((small - mean) / deviation).to(encoder.dtype)).image_embeds[None]
    return torch.cat((torch.zeros_like(code), code))


def _control(folder: Path, how: Mapping[str, Any]) -> Any:
    return ControlNetModel.from_pretrained(folder / CONTROL, **how)  # type: ignore[no-untyped-call]


def _filled(prompt: str, words: Mapping[str, str]) -> str:
    """Return a prompt with words in the places of their attributes; the place of one that nobody named is left out."""
    parts = []
    for text, name, _, _ in string.Formatter().parse(prompt):
        parts += [text, words.get(name, "") if name else ""]
    return " ".join("".join(parts).split())


def _put(result: Tensor, small: Tensor, height: int, width: int) -> None:
    """Write a small picture, enlarged, over one of a batch: float [1, 3, h, w] in [0, 1] -> uint8 [3, H, W]."""
    enlarged = Enlarged(small[0] * 255, height, width)
    for top, end in strips(height, width):
        rows = enlarged.rows(top, end).round().clamp(0, 255)
        result[:, top:end, :width] = rows.to(result.device, torch.uint8)
