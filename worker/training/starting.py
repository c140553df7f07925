"""Where a run starts: from a fresh network, or from a model whose lower layers may be frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.cards import BUILT_IN, Card
from jobs.errors import InvalidRequest, Problem
from jobs.trainings import Training
from worker.checkpoints import Checkpoint, read_model
from worker.networks.vgg import VggFeatures
from worker.training.manifests import Vocabulary
from worker.training.objectives import OBJECTIVES, SEEN, TAUGHT, Building, Contest, Objective
from worker.training.references import References


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a run begins with."""

    objective: Objective
    checkpoint: Checkpoint | None  # of the model to go on from
    references: References | None = None  # the style pictures that it learns from
    vocabulary: Vocabulary | None = None  # the attributes that it learns from, and their words

    @property
    def card(self) -> Card | None:
        return None if self.checkpoint is None else self.checkpoint.card

    def sizes(self, training: Training) -> dict[str, Any]:
        """Return the sizes of the network, and the names of what it learns."""
        words = {name: list(words) for name, words in (self.vocabulary or {}).items()}
        known = {"attributes": words} if words else {}
        if self.card is None:
            return {**self.objective.sizes, **training.network, **known}
        if self._builds:
            return {**self._builds.sizes_on(self.card.config), **known}
        named = {name: value for name, value in self.objective.sizes.items() if not isinstance(value, int)}
        return {**self.card.config, **named}

    @property
    def known(self) -> Vocabulary | None:
        """The attributes and words of the model that is gone on with; None where a network begins to learn some."""
        return None if self.card is None or self._builds else self.card.config.get("attributes", {})

    @property
    def _builds(self) -> Building | None:
        """The objective, where the network is to be built on that of the model to start from."""
        objective, card = self.objective, self.card
        if card is None or card.architecture == objective.architecture:
            return None
        return objective if isinstance(objective, Building) else None

    def network(self, training: Training, generator: torch.Generator) -> nn.Module:
        """Return the network, with what is frozen frozen.

        Raises:
            InvalidRequest: it cannot have these sizes, or has no such parameters.

        """
        sizes = self.sizes(training)
        try:
            network = self.objective.build(sizes, generator)
        except (TypeError, RuntimeError) as error:
            raise _refusal("network", training.network, f"give sizes that it has: {error}") from None
        if self.checkpoint is not None:
            try:
                if self._builds:
                    self._builds.adopt(network, self.checkpoint.weights)
                else:
                    model_of(network, self.objective).load_state_dict(self.checkpoint.weights)
            except RuntimeError:
                remedy = "give as many style pictures as the model to start from has paintings"
                raise _refusal("references", list(sizes.get("paintings", [])), remedy) from None
        _freeze(network, training.freeze)
        return network


def find_start(training: Training, references: References | None = None, teacher: VggFeatures | None = None) -> Start:
    """Return what a run begins with. `references` and `teacher`: where the objective needs them.

    Raises:
        InvalidRequest: there is no such objective or model, or they do not fit.
        CheckpointMismatch: the model's weights are not those of its card.

    """
    objective = _objective(training.objective, references, teacher)
    if training.start_from is None:
        return Start(objective=objective, checkpoint=None, references=references)
    checkpoint = read_model(model_folder(training.start_from))
    fitting = [objective.architecture, *([objective.builds_on] if isinstance(objective, Building) else [])]
    if checkpoint.card.architecture not in fitting:
        remedy = f"choose a model of the architecture {' or '.join(fitting)}; this is {checkpoint.card.architecture}"
        raise _refusal("start_from", training.start_from, remedy)
    return Start(objective=objective, checkpoint=checkpoint, references=references)


def _objective(name: str, references: References | None, teacher: VggFeatures | None) -> Objective:
    if teacher is None:
        return OBJECTIVES[name]
    return SEEN[name](teacher) if references is None else TAUGHT[name](references, teacher)


def model_folder(name: str) -> Path:
    """Return the folder of a built-in model, or the one that the name is a path to.

    Raises:
        InvalidRequest: there is no model.

    """
    for folder in (BUILT_IN / name, Path(name)):
        if (folder / "model.json").is_file():
            return folder
    built_in = ", ".join(sorted(path.parent.name for path in BUILT_IN.glob("*/model.json")))
    raise _refusal("model", name, f"give a folder with a model.json, or one of {built_in}")


def model_of(network: nn.Module, objective: Objective) -> nn.Module:
    """Return what becomes the model: all of the network, or of several parts that learned from one another one."""
    return network.get_submodule(objective.keeps) if isinstance(objective, Contest) else network


def kept_weights(network: nn.Module, sparsity: float | None) -> dict[str, Tensor]:
    """Return which weights stay when this share of each matrix and convolution is set to 0, the smallest first."""
    if sparsity is None:
        return {}
    kept = {}
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and parameter.requires_grad:
            sizes = parameter.detach().abs().flatten()
            dropped = sizes.argsort(stable=True)[: round(sparsity * len(sizes))]
            mask = torch.ones_like(sizes)
            mask[dropped] = 0
            kept[name] = mask.view_as(parameter)
    return kept


def _freeze(network: nn.Module, prefixes: Sequence[str]) -> None:
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise _refusal("freeze", prefix, f"give what names of parameters start with: {parts}")
    for name, parameter in network.named_parameters():
        if prefixes and name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise _refusal("freeze", list(prefixes), "leave something to train")


def _refusal(field: str, value: object, remedy: str) -> InvalidRequest:
    return InvalidRequest(Problem(field=field, value=value, remedy=remedy))
