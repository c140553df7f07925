"""`python -m worker`, with a fault: the model `unchanged` dies of pictures that are red in a corner.

No picture can make the real decoder or model hang or crash as far as we know, so this stands in for one that does.
RESTYLE_TEST_POISON says how: `segfault`, `kill` (as the kernel does when memory is out), `hang`, or `slow`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping

from torch import Tensor

from worker.__main__ import main
from worker.pipelines.base import Batch
from worker.pipelines.unchanged import Unchanged

HOW = os.environ["RESTYLE_TEST_POISON"]

calm = Unchanged.run


def run(self: Unchanged, batch: Batch, style: Tensor | None, parameters: Mapping[str, float | int | bool]) -> Tensor:
    if any(image[:, 0, 0].tolist() == [255, 0, 0] for image in batch.images):
        sys.stderr.write("met the poison\n")
        if HOW == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif HOW == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            time.sleep(3600 if HOW == "hang" else 2)
    return calm(self, batch, style, parameters)


if __name__ == "__main__":
    Unchanged.run = run  # type: ignore[method-assign]
    sys.exit(main())
