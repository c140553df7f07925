"""The commands of `restyle`, one file for each that is more than a few lines."""

from __future__ import annotations

import inspect

import click

from restyle.commands.controls import cancel, change, pause, resume, retry
from restyle.commands.demo import demo
from restyle.commands.enqueue import enqueue
from restyle.commands.jobs import items, jobs
from restyle.commands.launch import api, keys, migrate, tenants, worker
from restyle.commands.measures import measures
from restyle.commands.results import errors, results
from restyle.commands.styles import styles
from restyle.commands.training import evaluate, models, train
from restyle.commands.up import up
from restyle.commands.watch import watch

SECTIONS = {
    "Try it": (demo, up),
    "Use it": (enqueue, watch, jobs, items, measures, results, errors, styles),
    "Teach it": (train, evaluate, models),
    "Control it": (pause, resume, cancel, change, retry),
    "Deploy it": (api, worker, migrate, tenants, keys),
}


class Commands(click.Group):
    """Lists the commands by what a person wants to do."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for commands in SECTIONS.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - 6 - width
                rows = [(str(command.name).ljust(width), command.get_short_help_str(limit)) for command in commands]
                formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="restyle")
def restyle() -> None:
    """Give a whole product catalogue one look, as one job.

    Examples:
      restyle demo
      restyle up --allow ./photos
      restyle enqueue --source ./photos --style look.jpg --watch

    Exit codes:
      0    done; a job that was watched succeeded
      1    error: the API cannot be reached, a process of the stack died
      2    bad usage, or a request that the service refused
      3    the job ended as partial: some items did not succeed, or rows were unusable
      4    the job ended as failed
      5    the job was cancelled, or its deadline passed
      130  Ctrl-C

    """


def keep_layout(command: click.Command) -> None:
    """Keep the lines of paragraphs that are laid out, such as examples: those whose second line is indented."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(f"\b\n{text}" if "\n  " in text else text for text in paragraphs)
    if isinstance(command, click.Group):
        for part in command.commands.values():
            keep_layout(part)


for _command in (command for commands in SECTIONS.values() for command in commands):
    restyle.add_command(_command)
keep_layout(restyle)
