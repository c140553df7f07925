"""The `restyle` command: runs it and turns every error into one readable line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from restyle.commands import restyle
from restyle.errors import RestyleError
from restyle.exits import Exit, exit_for
from restyle.processes import StackError
from restyle.signals import Stopped


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments and return the exit code."""
    try:
        return int(restyle.main(list(arguments), prog_name="restyle", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RestyleError as error:
        click.echo(f"Error: {error}", err=True)
        return exit_for(error)
    except StackError as error:
        click.echo(f"Error: {error}", err=True)
        return Exit.ERROR
    except click.Abort as error:
        return 128 + error.__cause__.number if isinstance(error.__cause__, Stopped) else Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has gone (`restyle items … | head`); Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR


def main() -> None:
    """Run the command as a program."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
