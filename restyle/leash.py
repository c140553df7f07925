"""Run a program that cannot outlive its launcher: `leash.py LAUNCHER_PID PROGRAM ARGUMENT…`.

The kernel kills the program when the launcher is gone, also when that was killed itself and could clean up nothing.
A program of its own and not a preexec_fn: that would run between fork and exec of a process that may have threads.
It is run as a file, without site-packages, so that it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; the setting survives exec


def main() -> None:
    launcher, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":  # elsewhere the launcher's own cleaning up has to do
        # SIGKILL because nobody is left to follow up on a gentler signal; a worker may die at any line anyway.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != launcher:
            sys.exit("the launcher was gone before its program started")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the launcher holds signals back while it starts a program
    os.execv(program[0], program)  # noqa: S606  # the whole point, and the launcher names the program


if __name__ == "__main__":
    main()
