"""The demo: a whole catalogue through the whole service on this machine, from pictures to the contact sheet.

It draws a sample or takes anyone's pictures, starts the embedded stack, enqueues one job through the HTTP API, shows
its progress, brings the contact sheet home and stops everything.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from restyle.client import Client
from restyle.embedded import Stack, running_stack
from restyle.errors import RestyleError
from restyle.progress import JobProgress
from restyle.shapes import Job
from restyle.sources import PICTURES, read_references, style_name_of, url_of
from restyle.summary import place, places, print_outcome, print_places


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What a demo does. `None` means the sample that is drawn."""

    folder: Path  # everything that the demo writes is below it
    catalogue: Path | None
    style: Path | None
    model: str
    keep: bool  # the stack's database, storage and logs

    @property
    def data(self) -> Path:
        return self.folder / "data"


def check(plan: DemoPlan) -> None:
    """Raise ValueError at once when the demo cannot work, before anything is drawn or started."""
    if plan.catalogue is not None:
        if not plan.catalogue.is_dir():
            raise ValueError(f"the catalogue {str(plan.catalogue)!r} is not a folder")
        if not has_pictures(plan.catalogue):
            raise ValueError(f"the catalogue {str(plan.catalogue)!r} holds no pictures ({', '.join(PICTURES)})")
        if plan.folder.is_relative_to(plan.catalogue.absolute()):
            raise ValueError(f"the catalogue {str(plan.catalogue)!r} holds the demo's own folder {str(plan.folder)!r}")
    if plan.style is not None:
        read_references([plan.style])


def has_pictures(folder: Path) -> bool:
    """Return whether a picture lies anywhere below a folder, by the names of its files."""
    return any(name.lower().endswith(PICTURES) for _, _, names in os.walk(folder) for name in names)


def run_demo(plan: DemoPlan, console: Console) -> Job:
    """Run the demo and return its job, ended.

    Raises:
        StackError: the stack did not start, or died.
        RestyleError: the API refused.

    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    catalogue = plan.catalogue or _draw_catalogue(plan.folder / "catalogue", console)
    style = plan.style or _draw_style(plan.folder / "style.jpg")
    # A folder for each run: nothing of an earlier one is overwritten or deleted.
    results = plan.folder / "results" / time.strftime("%Y-%m-%d-%H%M%S")
    console.print("starting the API, a worker and their broker …")
    with running_stack(plan.data, allowed=[str(catalogue), str(plan.folder)], fresh=True) as stack:
        job = _restyle(stack, plan, catalogue=catalogue, style=style, results=results, console=console)
        sheets = _collect_sheets(job, plan.folder)
    if not plan.keep:
        shutil.rmtree(plan.data)
    _print_end(job, sheets, console)
    return job


def _restyle(stack: Stack, plan: DemoPlan, *, catalogue: Path, style: Path, results: Path, console: Console) -> Job:
    references = read_references([style])
    name = style_name_of(references)
    with Client(stack.url) as client:
        client.create_style(name, references)
        job = client.enqueue(
            {
                "recipe": {"model": plan.model, "style": name},
                "source": {"type": "prefix", "url": url_of(str(catalogue))},
                "output_url": url_of(str(results), folder=True),
            }
        )
        console.print(f"job {job['id']}: {catalogue} in the look of {style.name}", highlight=False, soft_wrap=True)
        with JobProgress(console) as progress:

            def show(job: Job) -> None:
                stack.check()
                progress.show(job)

            try:
                return client.wait(job["id"], on_progress=show, patience=0)
            except RestyleError:
                stack.check()  # a dead process of ours says more than an API that does not answer
                raise


def _draw_catalogue(folder: Path, console: Console) -> Path:
    """Draw the sample, unless an earlier demo did."""
    from studio.files import MANIFEST, write_sample_catalogue  # numpy and Pillow: only who draws needs them

    if (folder / MANIFEST).is_file():  # it is written last
        return folder
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("drawing the sample catalogue", total=None)
        count = write_sample_catalogue(folder, lambda done, total: bar.update(task, completed=done, total=total))
    console.print(f"drew {count} product pictures into {folder}", highlight=False, soft_wrap=True)
    return folder


def _draw_style(path: Path) -> Path:
    if not path.is_file():
        from studio import write_sample_style

        write_sample_style(path)
    return path


def _collect_sheets(job: Job, folder: Path) -> list[Path]:
    """Copy the contact sheet out of the stack's folder, to where it is looked for."""
    files = job["files"]
    sheets = []
    for url in (files["contact_sheet_html"], files["contact_sheet_png"]) if files else ():
        source = Path(place(url))
        if source.is_file():  # a job that could not be planned has nothing to show
            sheets.append(Path(shutil.copyfile(source, folder / source.name)))
    return sheets


def _print_end(job: Job, sheets: list[Path], console: Console) -> None:
    print_outcome(console, job)
    wanted = {"results", "errors"} if job["counts"]["failed"] + job["counts"]["rejected"] else {"results"}
    found = [(name, url) for name, url in places(job) if name in wanted]
    print_places(console, [*found, *(("contact sheet", str(sheet)) for sheet in sheets)])
