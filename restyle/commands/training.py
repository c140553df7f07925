"""`restyle train`, `evaluate`, `models`: models of one's own. What needs torch runs as `python -m worker.training`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from restyle.commands.launch import become
from restyle.commands.options import json_option
from restyle.commands.styles import ListsByDefault
from restyle.exits import Exit
from restyle.summary import print_json, print_table

if TYPE_CHECKING:
    from jobs.cards import CardShelf

Command = TypeVar("Command", bound=Callable[..., Any])

MODULE = "worker.training"

out_option = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for it. Made if missing."
)
photos_option = click.option(
    "--photos", multiple=True, required=True, metavar="PLACE", help="Folder or s3:// prefix of photos. Repeatable."
)
folder_option = click.option(
    "--models-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="RESTYLE_MODELS_DIR",
    help="Folder of models.  [default: the built-in ones]",
)


def _photos(places: Sequence[str]) -> list[str]:
    return [part for place in places for part in ("--photos", place)]


@click.command()
@click.argument("config", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@out_option
def train(config: Path, out: Path) -> NoReturn:
    """Train a model as a TOML or JSON file says (docs/training.md).

    Photos come from folders or s3:// prefixes. The folder holds the whole run: checkpoint, curve, sample sheets, and in
    the end the model with its card. The same command goes on after an interruption, with the same curve: Ctrl-C and
    SIGTERM write a checkpoint first. Needs restyle[worker]; restyle[train] adds augmentation and TensorBoard's logs.

    Example:
      restyle train grade.toml --out runs/grade

    """
    become(MODULE, ["train", str(config), "--out", str(out)])


@click.command()
@click.argument("model")
@photos_option
@click.option("--pairs", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Pairs of photos.")
@click.option("--own-look", is_flag=True, help="Measure how near it brings photos to the look that these have.")
def evaluate(model: str, photos: Sequence[str], pairs: int, own_look: bool) -> NoReturn:
    """Measure a model, a folder or a built-in name: how near it comes to grades that are known exactly, and how fast.

    Beside it stands the photo as it is. Measure on photos that it was not trained on. The result is one JSON object.
    Needs restyle[worker].

    Example:
      restyle evaluate runs/grade --photos ./unseen

    """
    become(MODULE, ["evaluate", model, *_photos(photos), "--pairs", str(pairs), *(["--own-look"] if own_look else [])])


@click.group(cls=ListsByDefault)
def models() -> None:
    """List models, show and check them, or make lighter ones.

    Without a command it lists them.
    """


@models.command("list")
@folder_option
@json_option
def list_models(models_dir: Path | None, as_json: bool) -> int:
    """List every model. With --json, one card on each line.

    Example:
      restyle models list --models-dir ./models

    """
    cards = _shelf(models_dir).cards.values()
    if as_json:
        for card in cards:
            print_json(card.model_dump(mode="json"))
    else:
        heads = ("name", "version", "operation", "architecture", "licence", "summary")
        print_table(heads, ([getattr(card, head) for head in heads] for card in cards))
    return Exit.SUCCEEDED


@models.command("show")
@click.argument("name")
@folder_option
def show_model(name: str, models_dir: Path | None) -> int:
    """Print the card of a model as JSON: what it is, where it comes from, what was measured, what it cannot do.

    Example:
      restyle models show reference-grade

    """
    shelf = _shelf(models_dir)
    if name not in shelf.cards:
        raise click.BadParameter(f"choose one of {', '.join(shelf.cards) or 'none'}", param_hint="NAME")
    click.echo(shelf.cards[name].model_dump_json(indent=2))
    return Exit.SUCCEEDED


@models.command("read")
@click.argument("model")
@click.argument("text")
def read(model: str, text: str) -> NoReturn:
    """Print what a model that reads sentences takes one for: JSON, a word of each attribute that it names.

    The model is a folder or a built-in name. Needs restyle[worker,sentences].

    Example:
      restyle models read studio-sentences "a teal mug on sage, from above"

    """
    become(MODULE, ["read", model, text])


@models.command("check")
@folder_option
def check_models(models_dir: Path | None) -> int:
    """Check that every model's weights are those that its card names. Ends with 1 if some are not.

    Example:
      restyle models check --models-dir ./models

    """
    shelf = _shelf(models_dir)
    code = Exit.SUCCEEDED
    for card in shelf.cards.values():
        weights = shelf.folder / card.name / card.weights_file
        if card.weights_sha256 is None:
            verdict = "has no weights"
        elif not weights.is_file():
            verdict, code = f"there is no {weights}", Exit.ERROR
        elif hashlib.sha256(weights.read_bytes()).hexdigest() == card.weights_sha256:
            verdict = "as its card says"
        else:
            verdict, code = f"{weights} is not what its card names", Exit.ERROR
        click.echo(f"{card.name}: {verdict}")
    return code


def _makes_lighter(command: Command) -> Command:
    """Give a command what all those have that make a lighter model."""
    for option in (
        click.option("--name", help="Of the new model.  [default: the old one's, and what was done]"),
        out_option,
        photos_option,
        click.argument("model"),
    ):
        command = option(command)
    return command


def _lighten(verb: str, model: str, photos: Sequence[str], out: Path, name: str | None, *more: str) -> NoReturn:
    named = [] if name is None else ["--name", name]
    become(MODULE, [verb, model, *_photos(photos), "--out", str(out), *named, *more])


@models.command("half")
@_makes_lighter
def half(model: str, photos: Sequence[str], out: Path, name: str | None) -> NoReturn:
    """Make a model with weights of half the size (float16), measured beside the original on the photos.

    Example:
      restyle models half reference-grade --photos ./unseen --out models/reference-grade-half

    """
    _lighten("half", model, photos, out, name)


@models.command("quantise")
@_makes_lighter
def quantise(model: str, photos: Sequence[str], out: Path, name: str | None) -> NoReturn:
    """Make a model with weights of 8 bits, a quarter of the size, measured beside the original on the photos.

    Example:
      restyle models quantise reference-grade --photos ./unseen --out models/reference-grade-int8

    """
    _lighten("quantise", model, photos, out, name)


@models.command("prune")
@_makes_lighter
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5, show_default=True,
    help="Of the weights that become 0.",
)  # fmt: skip
@click.option("--iterations", type=click.IntRange(1), default=600, show_default=True, help="To train the others again.")
@click.option("--licence", default="unknown", show_default=True, help="Of the photos, for the card.")
@click.option("--unseen", required=True, metavar="PLACE", help="As --photos: to measure on, others than it trains on.")
def prune(
    model: str, photos: Sequence[str], out: Path, name: str | None, unseen: str, **settings: float | str
) -> NoReturn:
    """Set the smallest weights of a model to 0, train the others again, and measure it beside the original.

    It trains on --photos and measures on --unseen. Goes on after an interruption as restyle train does.

    Example:
      restyle models prune reference-grade --photos ./photos --unseen ./others --out models/reference-grade-pruned

    """
    more = [part for setting, value in settings.items() for part in (f"--{setting}", str(value))]
    _lighten("prune", model, photos, out, name, "--unseen", unseen, *more)


def _shelf(folder: Path | None) -> CardShelf:
    # Imported here: pydantic takes a moment that no other command need spend.
    from jobs.cards import BUILT_IN, CardShelf

    return CardShelf(folder or BUILT_IN)
