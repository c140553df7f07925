"""`python -m studio FOLDER`: write the sample catalogue, or with `--count` a set of as many pictures."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from studio.dataset import OtherSet, write_set, write_tag_set
from studio.files import write_sample_catalogue, write_sample_style
from studio.render import SMALLEST_PX
from studio.sheets import write_sheets

BAR = 30  # signs


def main() -> int:
    parser = _parser()
    given = parser.parse_args()
    started = time.monotonic()
    if given.sheets:
        write_sheets(given.folder)
        written = "sheets"
    elif given.count is not None:
        if given.count < 1 or given.size < SMALLEST_PX or given.processes < 1:
            parser.error(f"--count and --processes must be at least 1, --size at least {SMALLEST_PX}")
        try:
            write = write_tag_set if given.tags else write_set
            write(
                given.folder,
                count=given.count,
                size=given.size,
                seed=given.seed,
                processes=given.processes,
                on_progress=_show,
            )
        except OtherSet as error:
            parser.error(str(error))
        written = f"{given.count} pictures"
    else:
        write_sample_style(given.folder / "style.jpg")
        count = write_sample_catalogue(given.folder / "catalogue", _show)
        written = f"{count} pictures and a style"
    sys.stderr.write(f"{written} in {given.folder}, drawn in {time.monotonic() - started:.1f} s\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studio",
        description="Draw a sample catalogue of product pictures and a sample style, or a set to learn from.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="gets catalogue/ (pictures and manifest.csv) and style.jpg; with --count: pictures/, masks/, depth/, "
        "edges/ and manifest.csv; with --tags: pictures/ and manifest.csv",
    )
    parser.add_argument("--count", type=int, help="draw a set of this many pictures; one that was begun goes on")
    parser.add_argument("--size", type=int, default=128, help="px, of both sides of a set's pictures (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which set (%(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="processes that draw a set (%(default)s)")
    parser.add_argument("--tags", action="store_true", help="with --count: labels and tags, not products")
    parser.add_argument("--sheets", action="store_true", help="write contact prints of kinds, layers and words instead")
    return parser


def _show(done: int, total: int) -> None:
    """Keep one line up to date; in a log, say it again where the bar has grown."""
    filled = done * BAR // total
    bar = f"drawing [{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{bar}" + ("\n" if done == total else ""))
    elif filled != (done - 1) * BAR // total:
        sys.stderr.write(f"{bar}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
