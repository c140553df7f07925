"""What is measured, against whom, in one run. The last line of each output is one JSON object."""

import worker  # noqa: F401  # says how OpenMP waits, before torch is loaded
