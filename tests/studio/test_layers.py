"""The studio stands alone: the demo and the training both draw from it, so it may drag in neither."""

from __future__ import annotations

import subprocess
import sys


def test_the_studio_loads_numpy_and_pillow_and_nothing_else_of_ours():
    script = (
        "import sys, studio; ours = {'jobs', 'worker', 'restyle', 'api', 'torch', 'sqlalchemy', 'celery'};"
        "print(sorted(ours & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
