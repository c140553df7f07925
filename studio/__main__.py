"""`python -m studio FOLDER`: write the sample catalogue and the sample style into a folder."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from studio.files import write_sample_catalogue, write_sample_style


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studio", description="Draw a sample catalogue of product pictures and a sample style."
    )
    parser.add_argument("folder", type=Path, help="gets catalogue/ (pictures and manifest.csv) and style.jpg")
    folder: Path = parser.parse_args().folder
    started = time.monotonic()
    write_sample_style(folder / "style.jpg")
    count = write_sample_catalogue(folder / "catalogue", _show)
    seconds = time.monotonic() - started
    sys.stderr.write(f"\n{count} pictures and a style in {folder}, drawn in {seconds:.1f} s\n")
    return 0


def _show(done: int, total: int) -> None:
    """Keep one line up to date."""
    filled = done * 30 // total
    sys.stderr.write(f"\rdrawing [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
