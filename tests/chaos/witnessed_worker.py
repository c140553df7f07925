"""`python -m worker`, with `tests.chaos.witness` wrapped around it."""

from __future__ import annotations

import sys

from tests.chaos import witness
from worker.__main__ import main

if __name__ == "__main__":
    witness.install()
    sys.exit(main())
