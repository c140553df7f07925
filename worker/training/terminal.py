"""What a run says on the terminal: one line that moves, or in a log one line for each measure."""

from __future__ import annotations

import sys
import time

from jobs.trainings import Training
from worker.training.state import Progress, measured

LINE_SECONDS = 0.2  # between two changes of the line that moves


class Terminal:
    """Follows one run on stderr."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._moving = sys.stderr.isatty()
        self._shown_at = 0.0
        self._held_out = ""

    def report(self, progress: Progress, figures: dict[str, float]) -> None:
        """Say how the run stands, if it is time to."""
        found = measured(figures)
        if found:
            self._held_out = "  ".join(f"{name} {value:.4g}" for name, value in found.items())
        now = time.monotonic()
        if self._moving and (found or progress.ended or now - self._shown_at > LINE_SECONDS):
            self._shown_at = now
            sys.stderr.write(f"\r\x1b[K{self._line(progress)}" + ("\n" if progress.ended else ""))
        elif not self._moving and (found or progress.ended):
            sys.stderr.write(self._line(progress) + "\n")
        sys.stderr.flush()

    def _line(self, progress: Progress) -> str:
        training, rate = self._training, progress.iteration / max(progress.seconds, 1e-9)
        if training.iterations is not None:
            of, left = f" of {training.iterations}", (training.iterations - progress.iteration) / rate
        else:
            assert training.minutes is not None
            of, left = f" in {training.minutes:g} minutes", training.minutes * 60 - progress.seconds
        loss = "" if progress.loss is None else f"loss {progress.loss:.4f}"
        parts = [
            f"iteration {progress.iteration}{of}",
            f"{rate:.1f}/s",
            loss,
            self._held_out,
            f"{max(left, 0):.0f} s left",
        ]
        return "  ".join(part for part in parts if part)
