"""What a run needs to go on exactly where it was: weights, averages, moments, random states, and how far it is.

One safetensors file, replaced as a whole: a process that is killed at any moment leaves the last one.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from jobs.errors import InvalidRequest, Problem

CHECKPOINT = "checkpoint.safetensors"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    iteration: int = 0
    seconds: float = 0.0  # spent on iterations, all attempts together
    loss: float | None = None  # smoothed, for those who watch
    best: float | None = None  # headline of the best weights so far
    since_best: int = 0  # measures
    curve_bytes: int = 0  # of the curve that belongs to this state
    ended: bool = False


class State:
    """Everything that an iteration changes."""

    def __init__(
        self, network: nn.Module, learning_rate: float, generator: torch.Generator, betas: tuple[float, float]
    ) -> None:
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.best: dict[str, Tensor] = {}  # the average's weights when they were measured best
        self.generator = generator
        self.progress = Progress()
        self.optimiser = torch.optim.AdamW(
            [parameter for parameter in network.parameters() if parameter.requires_grad],
            lr=learning_rate,
            betas=betas,
            weight_decay=1e-4,
        )

    def save(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Replace the folder's checkpoint. `identity`: of the run, which nobody else's checkpoint may continue."""
        metadata = {"progress": json.dumps(asdict(self.progress)), "identity": json.dumps(identity, sort_keys=True)}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self._tensors().items()}
        replace_file(folder / CHECKPOINT, save(tensors, metadata=metadata))

    def load(self, folder: Path, identity: Mapping[str, Any]) -> bool:
        """Go on from the folder's checkpoint. Return whether there is one.

        Raises:
            InvalidRequest: it is of another run, or cannot be read.

        """
        path = folder / CHECKPOINT
        if not path.exists():
            return False
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
            of, progress = json.loads(metadata["identity"]), Progress(**json.loads(metadata["progress"]))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise _refusal(folder, f"remove {CHECKPOINT}, it is no run's: {error}") from None
        _check_identity(folder, of, json.loads(json.dumps(identity)))
        self.network.load_state_dict(_part(tensors, "network"))
        self.average.load_state_dict(_part(tensors, "average"))
        self.best = _part(tensors, "best")
        self._load_optimiser(_part(tensors, "optimiser"))
        self.generator.set_state(tensors["random/generator"])
        torch.set_rng_state(tensors["random/torch"])
        if "random/cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random/cuda"])
        self.progress = progress
        return True

    def _tensors(self) -> dict[str, Tensor]:
        parts: dict[str, Mapping[str, Tensor]] = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimiser": {
                f"{index}/{name}": value
                for index, moments in self.optimiser.state_dict()["state"].items()
                for name, value in moments.items()
            },
            "random": {"generator": self.generator.get_state(), "torch": torch.get_rng_state()},
        }
        if torch.cuda.is_available():
            parts["random"] = {**parts["random"], "cuda": torch.cuda.get_rng_state()}
        return {f"{part}/{name}": value for part, tensors in parts.items() for name, value in tensors.items()}

    def _load_optimiser(self, tensors: Mapping[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, _, moment = name.partition("/")
            state.setdefault(int(index), {})[moment] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})


def measured(figures: Mapping[str, float]) -> dict[str, float]:
    """Return what was measured on photos held out, of all that an iteration gave."""
    return {name: value for name, value in figures.items() if name != "rate" and not name.startswith("loss")}


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or as it was before, also after a power cut."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}


def _check_identity(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with another run: its curve would be nobody's."""
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if different:
        shown = ", ".join(f"{name} was {found.get(name)!r} and is {wanted[name]!r}" for name in different)
        raise _refusal(folder, f"choose another folder, or go on with what it holds: {shown}")


def _refusal(folder: Path, remedy: str) -> InvalidRequest:
    return InvalidRequest(Problem(field="out", value=str(folder), remedy=remedy))
