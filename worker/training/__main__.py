"""`python -m worker.training`: what `restyle train`, `evaluate` and `models` run where torch is."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType

from torch import Tensor

from jobs.cards import Card
from jobs.errors import CheckpointMismatch, Conflict, InvalidRequest, JobsError
from jobs.locations import Location
from jobs.logs import configure
from worker.checkpoints import read_model
from worker.sentences import load_reader, token_vectors
from worker.training.config import RunConfig, parse_config, place_of, read_config
from worker.training.evaluating import evaluate, photos_to_measure_on
from worker.training.job import train_for_job
from worker.training.lightening import PAIRS, lighten, measure_beside
from worker.training.loop import Watcher
from worker.training.runs import open_storages, run
from worker.training.starting import model_folder
from worker.training.terminal import Terminal

REFUSED = 2
FAILED = 1


class Stopping:
    """Notes the first signal that asks this process to end; the second one ends it at once.

    It listens from the first question on: what comes before, reading photos, has nothing to lose.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._listening = False

    def asked(self) -> bool:
        """Whether to end now."""
        if not self._listening:
            self._listening = True
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._note)
        return self.signal is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for. The result is one JSON object on stdout."""
    asked = _parser().parse_args(arguments)
    configure("console")
    act: Callable[[argparse.Namespace], int] = asked.act
    try:
        return act(asked)
    except (InvalidRequest, Conflict, CheckpointMismatch) as error:
        sys.stderr.write(f"Error: {error}\n")
        return REFUSED
    except (JobsError, ArithmeticError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return FAILED


def _train(asked: argparse.Namespace) -> int:
    code, card = _run(read_config(asked.config), asked.out, command=f"restyle train {asked.config.name} --out DIR")
    if card is not None:
        _print({"model": str(asked.out), "metrics": card.metrics})
    return code


def _run(config: RunConfig, out: Path, *, command: str) -> tuple[int, Card | None]:
    """Return the exit code, and the card of the model if the run came to its end."""
    stopping = Stopping()
    terminal = Terminal(config)
    watcher = Watcher(stop=stopping.asked, report=terminal.report)
    card = run(config, out, watcher=watcher, command=command)
    if card is None:
        sys.stderr.write(f"\nstopped; the same command goes on from the checkpoint in {out}\n")
        return 128 + (stopping.signal or 0), None
    return 0, card


def _job(asked: argparse.Namespace) -> int:
    return train_for_job(asked.file, stopping=Stopping().asked)


def _evaluate(asked: argparse.Namespace) -> int:
    models = {"model": read_model(model_folder(asked.model)), "unchanged": read_model(model_folder("unchanged"))}
    photos = _photos(asked.photos, 2 * asked.pairs)
    _print(
        {"pairs": asked.pairs, "photos": len(photos), **evaluate(models, photos, asked.pairs, own_look=asked.own_look)}
    )
    return 0


def _lighten(asked: argparse.Namespace) -> int:
    source = model_folder(asked.model)
    command = f"restyle models {asked.verb} {read_model(source).card.name} --photos DIR --out DIR"
    name = asked.name or f"{read_model(source).card.name}-{asked.suffix}"
    card = lighten(
        source, asked.out, name=name, form=asked.form, photos=_photos(asked.photos, 2 * PAIRS), command=command
    )
    _print({"model": str(asked.out), "metrics": card.metrics})
    return 0


def _read(asked: argparse.Namespace) -> int:
    _print(load_reader(read_model(model_folder(asked.model)), token_vectors()).read(asked.text))
    return 0


def _prune(asked: argparse.Namespace) -> int:
    source = model_folder(asked.model)
    card = read_model(source).card
    config = parse_config(
        {
            "name": asked.name or f"{card.name}-pruned",
            "licence": asked.licence,
            "photos": [str(place) for place in _places(asked.photos)],
            "start_from": str(source.resolve()),
            "sparsity": asked.share,
            "iterations": asked.iterations,
            "learning_rate": 5e-4,
            "warm_up": 20,
            "device": "cpu",
        }
    )
    command = f"restyle models prune {card.name} --share {asked.share:g} --photos DIR --unseen DIR --out DIR"
    code, pruned = _run(config, asked.out, command=command)
    if pruned is not None:
        measured = measure_beside(source, asked.out, _photos(asked.unseen, 2 * PAIRS))
        _print({"model": str(asked.out), "metrics": measured.metrics})
    return code


def _places(places: Sequence[str]) -> list[Location]:
    return [Location.parse(place_of(place, Path.cwd())) for place in places]


def _photos(places: Sequence[str], count: int) -> list[Tensor]:
    with closing(open_storages()) as storages:
        return photos_to_measure_on(_places(places), storages, count)


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.training", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="Train a model.")
    train.add_argument("config", type=Path)
    train.add_argument("--out", type=Path, required=True)
    train.set_defaults(act=_train)
    job = verbs.add_parser("job", help="Go on with the training of a job; for workers.")
    job.add_argument("file", type=Path)
    job.set_defaults(act=_job)
    measure = verbs.add_parser("evaluate", help="Measure a model.")
    measure.add_argument("model")
    measure.add_argument("--photos", action="append", required=True)
    measure.add_argument("--pairs", type=int, default=100)
    measure.add_argument("--own-look", action="store_true")
    measure.set_defaults(act=_evaluate)
    read = verbs.add_parser("read", help="Say what a sentence asks for.")
    read.add_argument("model")
    read.add_argument("text")
    read.set_defaults(act=_read)
    for verb, form, suffix in (("half", "half", "half"), ("quantise", "int8", "int8")):
        lighter = _maker(verbs.add_parser(verb, help="Make a lighter model."))
        lighter.set_defaults(act=_lighten, form=form, suffix=suffix)
    prune = _maker(verbs.add_parser("prune", help="Set the smallest weights to 0, and train the others again."))
    prune.add_argument("--unseen", action="append", required=True)
    prune.add_argument("--share", type=float, default=0.5)
    prune.add_argument("--iterations", type=int, default=600)
    prune.add_argument("--licence", default="unknown")
    prune.set_defaults(act=_prune)
    return parser


def _maker(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("model")
    parser.add_argument("--photos", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
