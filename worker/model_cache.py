"""The models that this process has loaded, and the styles that it has encoded for them."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog
import torch

from jobs import looks
from jobs.cards import Card, CardShelf
from jobs.claims import Claim
from jobs.errors import AccessDenied, ImageRejected, JobsError, ObjectMissing, StorageError
from jobs.locations import Location
from jobs.looks import KeptBackground, PictureBackground, SegmentedMask, Step
from jobs.recipes import Recipe
from jobs.storage import Storages
from worker.batching import BUCKET_PX
from worker.cascade import ReadyStep
from worker.checkpoints import FORMULAS, build, build_generating, read_checkpoint, read_network
from worker.compiling import MODE, Compilable, compile_into
from worker.engine import device_class, engine_of
from worker.images import PictureLimits, decode
from worker.networks.protected_colours import ProtectedColour
from worker.pipelines.base import Batch, GeneratingPipeline, Pipeline, Wish
from worker.prepared import Prepared, Ready
from worker.quality.style import palette
from worker.segmenter import Segmenter
from worker.sentences import Sentences
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
class _Model:
    ready: Ready
    bytes: int  # of its weights


class ModelCache:
    """Loads each model once and encodes each style once. Safe to share between threads.

    Models that were not used lately give way where the weights of all would take more than the budget. Those of one
    recipe are there together: where they alone are above the budget, nothing else is.
    """

    def __init__(
        self,
        shelf: CardShelf,
        device: torch.device,
        storages: Storages,
        limits: PictureLimits,
        *,
        memory_bytes: int,
        compile_dir: Path | None = None,
    ) -> None:
        self.device = device
        self.loading = SharedLock()
        """Held alone while a model is built or a style encoded, shared while a batch is computed: loading moves memory
        that a running model may be using, and libraries change torch for the whole process meanwhile."""
        self._shelf = shelf
        self._sentences = Sentences(shelf)
        self._storages = storages
        self._limits = limits
        self._memory_bytes = memory_bytes
        self._compile_dir = compile_dir
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
            SegmentationMissing: the recipe's masks come from a model, and nothing here runs it.
            PictureUnusable: a reference picture, or that of a background, cannot be read, or is not a picture.
        """
        known = self._known(claim)
        if known is not None:
            return known
        recipe = claim.recipe
        references = {
            name: [self._reference(name, url) for url in style.references] for name, style in claim.styles.items()
        }
        backdrop = self._backdrop(recipe)
        first = self._shelf.get(recipe.model, operation=recipe.operation)
        then = [self._shelf.get(step.model, operation="restyle") for step in recipe.then]
        finder = recipe.mask.model if isinstance(recipe.mask, SegmentedMask) else None
        finds = None if finder is None else self._shelf.get(finder, operation="segment")
        pipelines, segmenter = self._models_of(recipe)
        prepared = Prepared(
            recipe=recipe,
            fingerprint=claim.recipe_fingerprint,
            steps=tuple(
                self._ready(step, recipe, pipelines[step.model], references.get(step.style or "", []), claim)
                for step in recipe.steps
            ),
            engine=engine_of(
                self.device,
                first,
                then=then,
                mask=finds,
                compile_mode=MODE if any(map(self._compiles, pipelines.values())) else None,
            ),
            backdrop=backdrop,
            palette=palette(references[recipe.style]) if recipe.style in references else None,
            segmenter=segmenter,
            scale=first.scale,
            side_px=first.generation.side_px if first.operation == "generate" else 0,
            understand=partial(self._sentences.understood, card=first) if first.operation == "generate" else None,
        )
        looks = (self._look(prepared, number, references, claim) for number in range(len(recipe.looks)))
        prepared = dataclasses.replace(prepared, looks=tuple(looks))
        with self._lock:
            self._prepared[claim.recipe_fingerprint] = prepared
            if len(self._prepared) > STYLES:
                self._prepared.popitem(last=False)
        return prepared

    def warm_up(self) -> None:
        """Load the models of the shelf, as far as the budget goes, and run each once: no job's first picture waits for
        weights to be read or kernels to be chosen. One that cannot be loaded is left to the jobs that ask for it.
        """
        for name, card in self._shelf.cards.items():
            if card.operation == "describe":
                continue  # no job does
            try:
                size_bytes, make = self._read(name)
                if size_bytes + self._loaded_bytes() > self._memory_bytes:
                    continue
                model = self._add(name, size_bytes, make)
                if not self._compiles(model):  # else it has been tried
                    with self.loading.alone():
                        self._try(model, card)
            except Exception:  # a model may raise anything
                log.exception("warm_up_failed", model=name)

    @torch.inference_mode()
    def _try(self, model: Ready, card: Card) -> None:
        """Run a model once, on nothing."""
        if isinstance(model, Segmenter):
            return  # it has been tried
        if isinstance(model, GeneratingPipeline):
            model.generate([Wish(attributes={}, seed=0)], card.complete({}))
            return
        blank = torch.zeros((3, BUCKET_PX, BUCKET_PX), dtype=torch.uint8, device=self.device)
        mask = torch.full_like(blank[None, :1], 255) if card.operation == "inpaint" else None
        batch = Batch(images=blank[None], sizes=[(BUCKET_PX, BUCKET_PX)], masks=mask)
        model.run(batch, model.encode_style([blank]), card.complete({}))

    def _compiles(self, model: Ready) -> bool:
        return self._compile_dir is not None and isinstance(model, Compilable)

    def evict(self, fingerprint: str) -> bool:
        """Let go of every model but those of a recipe. Return whether there were any."""
        with self._lock:
            kept = self._prepared.get(fingerprint)
            names = [name for name, model in self._models.items() if kept is None or not kept.uses(model.ready)]
            for name in names:
                self._drop(name)
        return bool(names)

    def _known(self, claim: Claim) -> Prepared | None:
        with self._lock:
            prepared = self._prepared.get(claim.recipe_fingerprint)
            if prepared is not None:
                self._prepared.move_to_end(claim.recipe_fingerprint)
                for name in _names(claim.recipe):
                    self._models.move_to_end(name)
            return prepared

    def _models_of(self, recipe: Recipe) -> tuple[dict[str, Pipeline | GeneratingPipeline], Segmenter | None]:
        """Return what a recipe names: its pipelines by name, and what finds the product."""
        pipelines: dict[str, Pipeline | GeneratingPipeline] = {}
        segmenter = None
        for name in _names(recipe):
            model = self._model(name, besides=_names(recipe))
            if isinstance(model, Segmenter):
                segmenter = model
            else:
                pipelines[name] = model
        return pipelines, segmenter

    def _model(self, name: str, *, besides: Collection[str]) -> Ready:
        """Return a model; those beside it are not the ones that make room for it."""
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
                return self._models[name].ready
        size_bytes, make = self._read(name)
        self._make_room(size_bytes, besides)
        return self._add(name, size_bytes, make)

    def _read(self, name: str) -> tuple[int, Callable[[], Ready]]:
        """Return how many bytes a model's weights have, and what makes it ready."""
        card = self._shelf.get(name)
        if card.operation == "segment":
            network = read_network(self._shelf, name)
            return len(network), lambda: Segmenter(card, network)
        checkpoint = read_checkpoint(self._shelf, name)
        builds = build if card.architecture in FORMULAS or card.operation != "generate" else build_generating
        return checkpoint.bytes, lambda: builds(checkpoint, self.device)

    def _add(self, name: str, size_bytes: int, make: Callable[[], Ready]) -> Ready:
        with self.loading.alone():
            model = make()
            if self._compile_dir is not None and isinstance(model, Compilable):
                card = self._shelf.get(name)
                compile_into(self._compile_dir, model, "/".join(device_class(self.device)), card.weights_sha256)
                self._try(model, card)  # here, where no batch's time runs
        with self._lock:
            self._models[name] = _Model(ready=model, bytes=size_bytes)
        return model

    def _make_room(self, wanted_bytes: int, besides: Collection[str]) -> None:
        with self._lock:
            for name in [name for name in self._models if name not in besides]:
                if wanted_bytes + self._loaded_bytes() <= self._memory_bytes:
                    return
                self._drop(name)

    def _ready(
        self,
        step: Step,
        recipe: Recipe,
        pipeline: Pipeline | GeneratingPipeline,
        references: Sequence[torch.Tensor],
        claim: Claim,
    ) -> ReadyStep:
        """Return a model with all that a recipe says of it; its style is encoded here."""
        weights = claim.styles[step.style].weights if step.style else None
        style = None
        if not isinstance(pipeline, GeneratingPipeline):
            with self.loading.alone():
                style = pipeline.encode_style(references, weights)
        kept = recipe.background if isinstance(recipe.background, KeptBackground) else None
        return ReadyStep(
            pipeline=pipeline,
            style=style,
            parameters=step.parameters,
            on="product" if recipe.operation == "inpaint" else step.on or "all",  # what the mask covers
            background_strength=None if kept is None else kept.strength,
            protected=tuple(_protected(each, 1 / len(recipe.steps)) for each in recipe.protected_colours),
        )

    def _look(
        self, prepared: Prepared, rule_no: int, references: Mapping[str, Sequence[torch.Tensor]], claim: Claim
    ) -> Prepared:
        """Return what is prepared, with a rule's look: another style or other knobs of the first model."""
        recipe = prepared.recipe.under(rule_no)
        own, *then = prepared.steps
        of_style = references.get(recipe.style or "", [])
        first = self._ready(recipe.steps[0], recipe, own.pipeline, of_style, claim)
        return dataclasses.replace(
            prepared,
            recipe=recipe,
            steps=(first, *then),
            palette=palette(of_style) if of_style else None,
            rule_no=rule_no,
        )

    def _loaded_bytes(self) -> int:
        return sum(model.bytes for model in self._models.values())

    def _drop(self, name: str) -> None:
        """Forget a model and what was prepared for it. Works under way keep theirs until they are done."""
        model = self._models.pop(name).ready
        for fingerprint in [key for key, prepared in self._prepared.items() if prepared.uses(model)]:
            del self._prepared[fingerprint]

    def _reference(self, style: str, url: str) -> torch.Tensor:
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


def _names(recipe: Recipe) -> Sequence[str]:
    """Return the models that a recipe needs, each once."""
    finds = [recipe.mask.model] if isinstance(recipe.mask, SegmentedMask) else []
    return list(dict.fromkeys([*(step.model for step in recipe.steps), *finds]))


def _protected(colour: looks.ProtectedColour, share: float) -> ProtectedColour:
    """Return a colour for one model of several, each of which may use an equal share of the bound."""
    red, green, blue = bytes.fromhex(colour.colour.removeprefix("#"))
    return ProtectedColour(colour=(red, green, blue), delta_e=colour.delta_e * share)
