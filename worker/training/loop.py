"""The loop that every training run goes through, whatever it learns; see `worker.training.objectives`.

A run is one folder. Killed at any moment and started again, it goes on from its checkpoint and ends with the same
curve and the same weights, to the byte, as if nothing had happened.
"""

from __future__ import annotations

import fcntl
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from jobs.errors import Conflict
from jobs.trainings import Training
from worker.training.augmenting import augmented
from worker.training.curve import Curve
from worker.training.objectives import Contest, Objective, Single
from worker.training.photos import PhotoSet
from worker.training.sheets import draw_sheet
from worker.training.starting import Start, kept_weights
from worker.training.state import Progress, State, replace_file

log = structlog.get_logger(__name__)

PROBE_SEED = 0  # every run of an objective is measured on the same draws
GRADIENT_NORM = 1.0  # longer gradients are cut to this
BETAS = (0.9, 0.999)  # AdamW's own
WHOLE = ""  # the name of a network among its submodules


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Whoever follows a run. Both are called between two iterations."""

    stop: Callable[[], bool] = lambda: False  # whether to end now, with a checkpoint
    report: Callable[[Progress, dict[str, float]], None] = lambda _progress, _figures: None
    saved: Callable[[], None] = lambda: None  # a checkpoint has been written


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run has learned."""

    network: nn.Module  # the moving average of the weights; with `patience`, as it was measured best
    metrics: dict[str, float]
    progress: Progress


def train(
    training: Training,
    photos: PhotoSet,
    start: Start,
    folder: Path,
    device: torch.device,
    *,
    watcher: Watcher,
) -> Trained | None:
    """Train in the folder, going on where it was left. Return None if the watcher stopped it before its end.

    Raises:
        Conflict: another process trains in this folder.
        InvalidRequest: the folder holds another run.

    """
    with _alone_in(folder):
        return _Run(training, photos, start, folder, device, watcher).train()


class _Run:
    """One run in one process."""

    def __init__(
        self,
        training: Training,
        photos: PhotoSet,
        start: Start,
        folder: Path,
        device: torch.device,
        watcher: Watcher,
    ) -> None:
        torch.manual_seed(training.seed)
        generator = torch.Generator().manual_seed(training.seed)
        self._training, self._folder, self._device, self._watcher = training, folder, device, watcher
        self._objective: Objective = start.objective
        self._photos, held_out = photos.divided(training.held_out_every)
        probe = torch.Generator().manual_seed(PROBE_SEED)
        self._probe = self._objective.draw(held_out, self._objective.probe_examples, probe).to(device)
        network = start.network(training, generator).to(device)
        self._kept = kept_weights(network, training.sparsity)
        _zero_others(network, self._kept)
        betas = self._objective.betas if isinstance(self._objective, Contest) else BETAS
        self._state = State(network, training.learning_rate, generator, betas)
        self._identity = _identity(training, photos, start)
        resumed = self._state.load(folder, self._identity)
        log.info(
            "training_started",
            photos=len(self._photos),
            held_out=len(held_out),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            trained=sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad),
            iteration=self._state.progress.iteration if resumed else 0,
        )

    def train(self) -> Trained | None:
        """Iterate until the end, or until the watcher says stop."""
        progress = self._state.progress
        with Curve(self._folder, progress.curve_bytes) as curve:
            while not progress.ended and not self._watcher.stop():
                began = time.monotonic()
                figures = self._iterate()
                progress.seconds += time.monotonic() - began
                progress.ended = progress.ended or self._done() >= 1
                curve.add(progress.iteration, figures)
                if progress.ended or progress.iteration % self._training.checkpoint_every == 0:
                    self._save(curve)
                self._watcher.report(progress, figures)
            if not progress.ended:
                self._save(curve)
                return None
        return Trained(network=self._result(), metrics=self._measure(), progress=progress)

    def _iterate(self) -> dict[str, float]:
        """Take one step, and what is due after it. Return the figures of the curve."""
        training, state, progress = self._training, self._state, self._state.progress
        rate = self._rate(self._done())
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        losses = self._learn(self._examples().to(self._device))
        _zero_others(state.network, self._kept)
        progress.iteration += 1
        iteration = progress.iteration
        _follow(state.average, state.network, min(training.ema, iteration / (iteration + 10)))
        value = math.fsum(losses.values())
        if not math.isfinite(value):
            raise ArithmeticError(f"the loss became {value} in iteration {iteration}: try a lower learning_rate")
        progress.loss = value if progress.loss is None else 0.99 * progress.loss + 0.01 * value
        of_parts = {f"loss_{part}": loss for part, loss in losses.items() if part != WHOLE}
        figures = {"loss": value, **of_parts, "rate": rate}
        if iteration % training.measure_every == 0:
            figures |= self._note_best(self._objective.measure(state.average, self._probe))
        if iteration % training.sample_every == 0:
            self._sample(iteration)
        return figures

    def _learn(self, examples: Any) -> dict[str, float]:
        """Let each part of the network that has a loss take a step. Return the losses, of a part the last one."""
        found, optimiser = {}, self._state.optimiser
        for part, loss in self._losses(examples):
            parameters = [each for each in self._state.network.get_submodule(part).parameters() if each.requires_grad]
            optimiser.zero_grad()
            loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]  # other parts stay without gradients,
            nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
            optimiser.step()  # and so without a step
            found[part] = loss.item()
        return found

    def _losses(self, examples: Any) -> Iterator[tuple[str, Tensor]]:
        """Yield each loss, and the part of the network that is to lower it; of most objectives one, of all of it."""
        objective, network = self._objective, self._state.network
        losses = objective.losses(network, examples) if isinstance(objective, Contest) else None
        while True:
            with torch.autocast(
                self._device.type, torch.bfloat16, enabled=self._training.precision == "bfloat16"
            ):  # not around the step
                if losses is None:
                    assert isinstance(objective, Single)  # an objective is one or the other
                    step: tuple[str, Tensor] | None = (WHOLE, objective.loss(network, examples))
                else:
                    step = next(losses, None)
            if step is not None:
                yield step
            if step is None or losses is None:
                return

    def _examples(self) -> Any:
        training, generator = self._training, self._state.generator
        photos = self._photos
        if training.augment:
            photos = augmented(photos, 2 * training.batch, generator)
        return self._objective.draw(photos, training.batch, generator)

    def _note_best(self, figures: dict[str, float]) -> dict[str, float]:
        """Keep the weights if they are the best so far; end the run if too many measures have been worse."""
        patience, progress = self._training.patience, self._state.progress
        if patience is None:
            return figures
        headline = figures[self._objective.headline]
        if progress.best is None or headline > progress.best:
            progress.best, progress.since_best = headline, 0
            self._state.best = {name: value.clone() for name, value in self._state.average.state_dict().items()}
        else:
            progress.since_best += 1
            progress.ended = progress.since_best >= patience
        return figures

    def _result(self) -> nn.Module:
        average = self._state.average
        if self._state.best:
            average.load_state_dict(self._state.best)
        return average

    def _measure(self) -> dict[str, float]:
        return self._objective.measure(self._result(), self._probe)

    def _sample(self, iteration: int) -> None:
        sheets = self._folder / "samples"
        sheets.mkdir(exist_ok=True)
        columns = self._objective.sample(self._state.average, self._probe)
        replace_file(sheets / f"{iteration:08}.png", draw_sheet(columns))

    def _save(self, curve: Curve) -> None:
        # The curve first: a checkpoint without the lines before it could not go on, lines too many are cut off.
        self._state.progress.curve_bytes = curve.flush()
        self._state.save(self._folder, self._identity)
        self._watcher.saved()

    def _done(self) -> float:
        """Return how much of the run is done, from 0 to 1."""
        training, progress = self._training, self._state.progress
        if training.iterations is not None:
            return progress.iteration / training.iterations
        assert training.minutes is not None
        return progress.seconds / (training.minutes * 60)

    def _rate(self, done: float) -> float:
        """Return the learning rate: it rises evenly, and falls along a cosine to a hundredth."""
        warm_up = min(1.0, (self._state.progress.iteration + 1) / max(self._training.warm_up, 1))
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))
        return self._training.learning_rate * warm_up * (0.01 + 0.99 * cosine)


def _identity(training: Training, photos: PhotoSet, start: Start) -> dict[str, Any]:
    """Return what tells one run from another. Where photos and models lie is no part of it."""
    identity = training.model_dump(mode="json", include=set(Training.model_fields))
    started_from = None if start.card is None else start.card.weights_sha256
    identity |= {"start_from": started_from, "photos_sha256": photos.digest}
    return identity if start.references is None else identity | {"references_sha256": start.references.digest}


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            raise Conflict(f"another process is training in {folder}", code="run_in_progress") from None
        yield


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average's weights towards the network's; what is no weight, such as a count, is the network's."""
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for kept, found in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(found)


@torch.no_grad()
def _zero_others(network: nn.Module, kept: dict[str, Tensor]) -> None:
    """Set the weights that are not kept to 0."""
    for name, parameter in network.named_parameters():
        if name in kept:
            parameter.mul_(kept[name])
