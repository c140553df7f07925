"""How the command ends: exit codes that scripts can use. Stable."""

from __future__ import annotations

from enum import IntEnum

from restyle.errors import RestyleError
from restyle.shapes import Job


class Exit(IntEnum):
    """An exit code of the `restyle` command."""

    SUCCEEDED = 0  # done; a job that was watched succeeded
    ERROR = 1  # something outside the request: the API cannot be reached, a process of the stack died
    REFUSED = 2  # bad usage, or a request that the service refused
    PARTIAL = 3  # the job ended, and some items did not succeed, or rows of its manifest became no items
    FAILED = 4  # the job ended, and no item succeeded or it could not be planned
    CANCELLED = 5  # the job was cancelled or its deadline passed
    INTERRUPTED = 130  # Ctrl-C


OF_OUTCOME = {
    "succeeded": Exit.SUCCEEDED,
    "partial": Exit.PARTIAL,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
    "expired": Exit.CANCELLED,
}


def exit_of(job: Job) -> Exit:
    """Return the exit code of a job that was waited for; one that has not ended is a success so far."""
    return OF_OUTCOME[job["outcome"]] if job["outcome"] else Exit.SUCCEEDED


def exit_for(error: RestyleError) -> Exit:
    """Return the exit code of an error."""
    return Exit.REFUSED if error.refused else Exit.ERROR
