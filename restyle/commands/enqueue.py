"""`restyle enqueue`: the everyday line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from restyle.client import Client
from restyle.commands.options import MomentText, api_option, gate_options, json_option, mistakes_in
from restyle.commands.watch import follow
from restyle.exits import Exit
from restyle.looks import background_of, mask_of, protected_of, then_of
from restyle.sources import (
    gates_of,
    looks_like_a_picture,
    parameters_of,
    read_references,
    read_rules,
    source_or_count,
    style_name_of,
    url_of,
    words_of,
)
from restyle.summary import print_job, print_json


@click.command()
@click.option(
    "--source",
    metavar="PLACE",
    help="What to restyle: a URL such as s3://bucket/prefix/, a local folder, or a manifest (.csv, .jsonl).",
)
@click.option("--count", type=click.IntRange(1), help="Instead of a source: how many pictures to generate.")
@click.option(
    "--operation",
    type=click.Choice(["restyle", "generate", "translate", "upscale", "inpaint"]),
    default="restyle",
    show_default=True,
    help="What becomes of the pictures; the model must be there for it.",
)
@click.option(
    "--style",
    "styles",
    multiple=True,
    metavar="NAME|PICTURE",
    help="The look: the name of a style, or a picture to take it from. Repeat it to use several pictures.",
)
@click.option("--model", default="reference-grade", show_default=True, help="Which model; see GET /v1/models.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the model, such as strength=0.7. Repeatable.",
)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=WORD",
    help="What every generated picture shows, such as kind=mug, unless its row says otherwise. Repeatable.",
)
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file: which look, or which attributes, products get by their data, such as season or price. The "
    "source is then a manifest.",
)
@click.option("--seed", type=click.IntRange(0), help="Of all chance in generated pictures. [default: 0]")
@click.option(
    "--on",
    "region",
    type=click.Choice(["all", "product", "background"]),
    help="Where the model acts; what lies outside keeps every byte. [default: where its card says, mostly everywhere]",
)
@click.option(
    "--then",
    "further",
    multiple=True,
    metavar="MODEL[,style=NAME][,on=WHERE][,NAME=VALUE…]",
    help="A further model, on what the one before made of the picture, such as reinhard,style=dusk,on=background. "
    "Repeatable, up to 3 times.",
)
@gate_options
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["jpeg", "png", "webp", "avif", "cube"]),
    default="jpeg",
    show_default=True,
    help="Format of the results; cube: no pictures, but the colour table that each would get.",
)
@click.option("--quality", type=click.IntRange(1, 100), default=90, show_default=True, help="Of JPEG, WebP and AVIF.")
@click.option(
    "--protect",
    "protected",
    multiple=True,
    metavar="#RRGGBB[=ΔE]",
    help="A brand's colour that the look leaves alone, within a ΔE2000 (default: 2). Repeatable.",
)
@click.option(
    "--background",
    metavar="#RRGGBB|#RRGGBB-#RRGGBB|PICTURE|keep=STRENGTH",
    help="What becomes of the background: a colour, a gradient from top to bottom, a picture, or itself with less of "
    "the look. Needs a mask of each product.",
)
@click.option(
    "--mask",
    metavar="manifest|alpha|plain|model=NAME",
    help="Where the masks of products come from: the manifest's mask_key, their own alpha, the plain background that "
    "they stand on, or a model that finds them. [default: the first of the former three that a picture has]",
)
@click.option("--shadow", type=click.FloatRange(0, 1), help="How dark a soft shadow on a new background is.")
@click.option(
    "--output", metavar="PLACE", help="Where results go: a URL or a local folder. [default: a folder of the job's own]"
)
@click.option(
    "--priority", type=click.IntRange(-100, 100), default=0, show_default=True, help="Higher runs before lower."
)
@click.option(
    "--on-bad-row",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What a manifest row that names no picture does: fail the job before it starts, or be skipped and reported.",
)
@click.option("--max-workers", type=click.IntRange(1), help="Most workers at the same time. [default: no limit]")
@click.option("--not-before", type=MomentText(), help="Nothing runs earlier, such as 2026-12-01T22:00.")
@click.option("--deadline", type=MomentText(), help="From then on it is stopped, and ends as expired.")
@click.option("--confirm", is_flag=True, help="Wait, paused, once the items are counted: restyle resume lets it run.")
@click.option("--retain-days", type=click.IntRange(1, 3650), help="Days after its end for which it is remembered.")
@click.option("--validate-only", is_flag=True, help="Only check the request, and show what would be enqueued.")
@click.option("--key", "idempotency_key", help="Idempotency key: the same line with the same key is the same job.")
@click.option("--watch", is_flag=True, help="Stay and show the progress until the job has ended.")
@api_option
@json_option
def enqueue(
    source: str | None,
    count: int | None,
    operation: str,
    styles: Sequence[str],
    model: str,
    settings: Sequence[str],
    attributes: Sequence[str],
    rules: Path | None,
    seed: int | None,
    region: str | None,
    further: Sequence[str],
    minimums: Sequence[str],
    maximums: Sequence[str],
    picture_format: str,
    quality: int,
    protected: Sequence[str],
    background: str | None,
    mask: str | None,
    shadow: float | None,
    output: str | None,
    priority: int,
    on_bad_row: str,
    max_workers: int | None,
    not_before: str | None,
    deadline: str | None,
    confirm: bool,
    retain_days: int | None,
    validate_only: bool,
    idempotency_key: str | None,
    watch: bool,
    client: Client,
    as_json: bool,
) -> int:
    """Restyle a whole catalogue: one line, one job.

    Examples:
      restyle enqueue --source s3://shop/catalogue/ --style look.jpg --watch
      restyle enqueue --source ./photos --style autumn --set strength=0.7 --format webp
      restyle enqueue --source ./photos --style autumn --at-least structure=0.9 --at-most colour_shift=3
      restyle enqueue --source ./photos --style autumn --protect '#c8102e' --background '#f4efe6' --shadow 0.5
      restyle enqueue --source ./photos --style autumn --on product --then reinhard,style=dusk,on=background
      restyle enqueue --source spring.csv --style look.jpg --on-bad-row skip --json
      restyle enqueue --source s3://shop/catalogue/ --style autumn --confirm --not-before 2026-12-01T22:00
      restyle enqueue --operation upscale --model super-resolution-2x --source ./small --format png
      restyle enqueue --operation generate --model studio-diffusion --count 20 --attribute kind=mug --seed 7
      restyle enqueue --source spring.csv --style plain --rules looks-by-season.json

    Local paths work when the service runs on this machine and allows them (restyle up --allow FOLDER).

    Exit codes with --watch: 0 all succeeded, 3 some did not (or rows were unusable), 4 it failed, 5 it was cancelled.

    """
    with mistakes_in("--source, --count"):
        wanted = source_or_count(source, count, on_bad_row=on_bad_row)
    with mistakes_in("--set"):
        parameters = parameters_of(settings)
    with mistakes_in("--at-least, --at-most"):
        gates = gates_of(minimums, maximums)
    recipe: dict[str, Any] = {
        "model": model,
        "style": _style(client, styles),
        "parameters": parameters,
        "format": picture_format,
        "quality": quality,
        "gates": gates,
    }
    recipe |= {"operation": operation} if operation != "restyle" else {}
    with mistakes_in("--attribute"):
        recipe |= {"attributes": words} if (words := words_of(attributes)) else {}
    with mistakes_in("--rules"):
        recipe |= {"rules": read_rules(rules)} if rules else {}
    recipe |= {"seed": seed} if seed else {}
    recipe |= {"on": region} if region else {}
    with mistakes_in("--then"):
        recipe |= {"then": steps} if (steps := then_of(further)) else {}
    with mistakes_in("--mask"):
        recipe |= {"mask": mask_of(mask)} if mask else {}
    with mistakes_in("--protect"):
        recipe |= {"protected_colours": colours} if (colours := protected_of(protected)) else {}
    with mistakes_in("--background"):
        recipe |= {"background": treatment} if (treatment := background_of(background, shadow)) else {}
    output_url = url_of(output, folder=True) if output else None
    request = {
        "recipe": recipe,
        "source": wanted,
        "output_url": output_url,
        "priority": priority,
        "max_workers": max_workers,
        "not_before_at": not_before,
        "deadline_at": deadline,
        "require_confirmation": confirm,
        "retention": {"days": retain_days} if retain_days else None,
    }
    if validate_only:
        return _show_preview(client.validate(request), as_json=as_json)
    job = client.enqueue(request, idempotency_key)
    if watch:
        Console(stderr=True).print(f"job {job['id']}", highlight=False)
        return follow(client, job["id"], as_json=as_json)
    if as_json:
        print_json(job)
        return Exit.SUCCEEDED
    console = Console()
    print_job(console, job)
    console.print(f"\nrestyle watch {job['id']}", highlight=False)
    return Exit.SUCCEEDED


def _show_preview(preview: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_json(preview)
    else:
        click.echo("the request is in order; nothing was enqueued")
        click.echo(json.dumps(preview["recipe"], ensure_ascii=False))
    return Exit.SUCCEEDED


def _style(client: Client, given: Sequence[str]) -> str | None:
    """Return a style's name; pictures are uploaded first."""
    if not given:
        return None
    if len(given) == 1 and not looks_like_a_picture(given[0]):
        return given[0]
    with mistakes_in("--style"):
        pictures = read_references([Path(path).expanduser() for path in given])
    name = style_name_of(pictures)
    client.create_style(name, pictures)
    return name
