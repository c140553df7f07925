"""The models that this process has loaded, and the styles that it has encoded for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
import torch

from jobs import recipes
from jobs.cards import CardShelf
from jobs.claims import Claim
from jobs.errors import AccessDenied, ImageRejected, JobsError, ObjectMissing, StorageError
from jobs.locations import Location
from jobs.recipes import KeptBackground, PictureBackground, Recipe
from jobs.storage import Storages
from worker.batching import BUCKET_PX
from worker.checkpoints import Checkpoint, build, read_checkpoint
from worker.engine import Engine, engine_of
from worker.images import PictureLimits, decode
from worker.networks.protected_colours import ProtectedColour
from worker.pipelines.base import Batch, Pipeline
from worker.quality.style import palette
from worker.shared_lock import SharedLock

log = structlog.get_logger(__name__)

STYLES = 64  # encoded styles kept; each is a short vector


class PictureUnusable(JobsError):
    """A picture that a recipe names cannot be read. Its code, and whether to try again, are those of the cause."""

    def __init__(self, what: str, remedy: str, cause: JobsError) -> None:
        self.code = cause.code
        self.retryable = cause.retryable
        if isinstance(cause, AccessDenied):
            remedy = "let the worker's credentials read it, and enqueue the job again"
        elif not isinstance(cause, ImageRejected | ObjectMissing):
            remedy = "see to it that workers reach the storage"
        super().__init__(f"{what} cannot be used: {cause}; {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe ready to run: its model loaded, its style encoded."""

    recipe: Recipe
    fingerprint: str
    pipeline: Pipeline
    style: torch.Tensor | None
    engine: Engine
    palette: torch.Tensor | None = None  # of the style's pictures, to measure the distance to; None without a style
    protected: tuple[ProtectedColour, ...] = ()
    backdrop: npt.NDArray[np.uint8] | None = None  # [H, W, 3]: the picture of a background

    @property
    def background_strength(self) -> float | None:
        """The look's strength outside of masks, where the recipe keeps the background at a strength of its own."""
        background = self.recipe.background
        return background.strength if isinstance(background, KeptBackground) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    pipeline: Pipeline
    bytes: int  # of its weights


class ModelCache:
    """Loads each model once and encodes each style once. Safe to share between threads.

    Models that were not used lately give way where the weights of all would take more than the budget.
    """

    def __init__(
        self,
        shelf: CardShelf,
        device: torch.device,
        storages: Storages,
        limits: PictureLimits,
        *,
        memory_bytes: int,
    ) -> None:
        self.device = device
        self.loading = SharedLock()
        """Held alone while a model is built or a style encoded, shared while a batch is computed: loading moves memory
        that a running model may be using, and libraries change torch for the whole process meanwhile."""
        self._shelf = shelf
        self._storages = storages
        self._limits = limits
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._models: OrderedDict[str, _Model] = OrderedDict()
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """The models that are loaded, the one used last at the end."""
        with self._lock:
            return list(self._models)

    def prepare(self, claim: Claim) -> Prepared:
        """Return the claim's recipe ready to run.

        Raises:
            InvalidRequest: this worker has no such model.
            CheckpointMismatch: its weights are not the card's.
            PictureUnusable: a reference picture, or that of a background, cannot be read, or is not a picture.
        """
        known = self._known(claim)
        if known is not None:
            return known
        recipe = claim.recipe
        references = [self._reference(recipe.style, url) for url in claim.references]
        backdrop = self._backdrop(recipe)
        pipeline = self._pipeline(recipe.model)
        with self.loading.alone():
            style = pipeline.encode_style(references, claim.weights or None)
        prepared = Prepared(
            recipe=recipe,
            fingerprint=claim.recipe_fingerprint,
            pipeline=pipeline,
            style=style,
            engine=engine_of(self.device, self._shelf.get(recipe.model)),
            protected=tuple(_protected(each) for each in recipe.protected_colours),
            backdrop=backdrop,
            palette=palette(references) if references else None,
        )
        with self._lock:
            self._prepared[claim.recipe_fingerprint] = prepared
            if len(self._prepared) > STYLES:
                self._prepared.popitem(last=False)
        return prepared

    def warm_up(self) -> None:
        """Load the models of the shelf, as far as the budget goes, and run each once: no job's first picture waits for
        weights to be read or kernels to be chosen. One that cannot be loaded is left to the jobs that ask for it.
        """
        for name in self._shelf.cards:
            try:
                checkpoint = read_checkpoint(self._shelf, name)
                if checkpoint.bytes + self._loaded_bytes() > self._memory_bytes:
                    continue
                pipeline = self._add(name, checkpoint)
                with self.loading.alone(), torch.inference_mode():
                    blank = torch.zeros((3, BUCKET_PX, BUCKET_PX), dtype=torch.uint8, device=self.device)
                    batch = Batch(images=blank[None], sizes=[(BUCKET_PX, BUCKET_PX)])
                    pipeline.run(batch, pipeline.encode_style([blank]), self._shelf.get(name).complete({}))
            except Exception:  # a model may raise anything
                log.exception("warm_up_failed", model=name)

    def evict(self, fingerprint: str) -> bool:
        """Let go of every model but that of a recipe. Return whether there were any."""
        with self._lock:
            kept = self._prepared.get(fingerprint)
            names = [
                name for name, model in self._models.items() if kept is None or model.pipeline is not kept.pipeline
            ]
            for name in names:
                self._drop(name)
        return bool(names)

    def _known(self, claim: Claim) -> Prepared | None:
        with self._lock:
            prepared = self._prepared.get(claim.recipe_fingerprint)
            if prepared is not None:
                self._prepared.move_to_end(claim.recipe_fingerprint)
                self._models.move_to_end(claim.recipe.model)
            return prepared

    def _pipeline(self, name: str) -> Pipeline:
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
                return self._models[name].pipeline
        checkpoint = read_checkpoint(self._shelf, name)
        self._make_room(checkpoint.bytes)
        return self._add(name, checkpoint)

    def _add(self, name: str, checkpoint: Checkpoint) -> Pipeline:
        with self.loading.alone():
            pipeline = build(checkpoint, self.device)
        with self._lock:
            self._models[name] = _Model(pipeline=pipeline, bytes=checkpoint.bytes)
        return pipeline

    def _make_room(self, wanted_bytes: int) -> None:
        with self._lock:
            while self._models and wanted_bytes + self._loaded_bytes() > self._memory_bytes:
                self._drop(next(iter(self._models)))

    def _loaded_bytes(self) -> int:
        return sum(model.bytes for model in self._models.values())

    def _drop(self, name: str) -> None:
        """Forget a model and what was prepared for it. Works under way keep theirs until they are done."""
        pipeline = self._models.pop(name).pipeline
        for fingerprint in [key for key, prepared in self._prepared.items() if prepared.pipeline is pipeline]:
            del self._prepared[fingerprint]

    def _reference(self, style: str | None, url: str) -> torch.Tensor:
        what = f"the reference picture {url} of the style {style!r}"
        remedy = "upload pictures that can be opened as a style of another name, and enqueue the job with that"
        return torch.from_numpy(self._picture(what, remedy, url)).permute(2, 0, 1).to(self.device)

    def _backdrop(self, recipe: Recipe) -> npt.NDArray[np.uint8] | None:
        if not isinstance(recipe.background, PictureBackground):
            return None
        url = recipe.background.url
        remedy = "enqueue the job again with a picture that can be opened"
        return self._picture(f"the background's picture {url}", remedy, url)

    def _picture(self, what: str, remedy: str, url: str) -> npt.NDArray[np.uint8]:
        location = Location.parse(url)
        try:
            data = self._storages.at(location).read(location.key, max_bytes=self._limits.max_bytes)
            return decode(data, self._limits).pixels.copy()
        except (StorageError, ImageRejected) as error:
            raise PictureUnusable(what, remedy, error) from error


def _protected(colour: recipes.ProtectedColour) -> ProtectedColour:
    red, green, blue = bytes.fromhex(colour.colour.removeprefix("#"))
    return ProtectedColour(colour=(red, green, blue), delta_e=colour.delta_e)
