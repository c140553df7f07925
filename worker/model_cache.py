"""The models that this process has loaded, and the styles that it has encoded for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import torch

from jobs.cards import CardShelf
from jobs.claims import Claim
from jobs.errors import AccessDenied, ImageRejected, JobsError, ObjectMissing, StorageError
from jobs.locations import Location
from jobs.recipes import Recipe
from jobs.storage import Storages
from worker.checkpoints import load_pipeline
from worker.images import PictureLimits, decode
from worker.pipelines.base import Pipeline

MODELS = 4  # kept loaded; the built-in ones are small
STYLES = 64  # encoded styles kept; each is a short vector


class ReferenceUnusable(JobsError):
    """A reference picture of a style cannot be read. Its code, and whether to try again, are those of the cause."""

    def __init__(self, style: str | None, url: str, cause: JobsError) -> None:
        self.code = cause.code
        self.retryable = cause.retryable
        if isinstance(cause, ImageRejected | ObjectMissing):
            remedy = "upload pictures that can be opened as a style of another name, and enqueue the job with that"
        elif isinstance(cause, AccessDenied):
            remedy = "let the worker's credentials read it, and enqueue the job again"
        else:
            remedy = "see to it that workers reach the storage"
        super().__init__(f"the reference picture {url} of the style {style!r} cannot be used: {cause}; {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe ready to run: its model loaded, its style encoded."""

    recipe: Recipe
    fingerprint: str
    pipeline: Pipeline
    style: torch.Tensor | None


class ModelCache:
    """Loads each model once and encodes each style once. Safe to share between threads."""

    def __init__(self, shelf: CardShelf, device: torch.device, storages: Storages, limits: PictureLimits) -> None:
        self.device = device
        self._shelf = shelf
        self._storages = storages
        self._limits = limits
        self._lock = threading.Lock()
        self._pipelines: OrderedDict[str, Pipeline] = OrderedDict()
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()

    def prepare(self, claim: Claim) -> Prepared:
        """Return the claim's recipe ready to run.

        Raises:
            InvalidRequest: this worker has no such model.
            CheckpointMismatch: its weights are not the card's.
            ReferenceUnusable: a reference picture cannot be read, or is not a picture.
        """
        with self._lock:
            known = self._prepared.get(claim.recipe_fingerprint)
            if known is not None:
                self._prepared.move_to_end(claim.recipe_fingerprint)
                return known
            pipeline = self._pipeline(claim.recipe.model)
            style = pipeline.encode_style([self._reference(claim.recipe.style, url) for url in claim.references])
            prepared = Prepared(
                recipe=claim.recipe, fingerprint=claim.recipe_fingerprint, pipeline=pipeline, style=style
            )
            self._prepared[claim.recipe_fingerprint] = prepared
            if len(self._prepared) > STYLES:
                self._prepared.popitem(last=False)
            return prepared

    def _pipeline(self, name: str) -> Pipeline:
        if name not in self._pipelines:
            self._pipelines[name] = load_pipeline(self._shelf, name, self.device)
            if len(self._pipelines) > MODELS:
                self._pipelines.popitem(last=False)
        self._pipelines.move_to_end(name)
        return self._pipelines[name]

    def _reference(self, style: str | None, url: str) -> torch.Tensor:
        location = Location.parse(url)
        try:
            data = self._storages.at(location).read(location.key, max_bytes=self._limits.max_bytes)
            picture = decode(data, self._limits)
        except (StorageError, ImageRejected) as error:
            raise ReferenceUnusable(style, url, error) from error
        return torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1).to(self.device)
