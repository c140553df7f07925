"""The worker: claims shards, runs models over their pictures, records what became of each.

`python -m worker` starts one process for one device. `lifecycle` puts it together, `runner` claims, `stream` moves
items through the stages, `settler` records. `pipelines` and `networks` know tensors only; `images` is the contract
for pictures; `training` makes the weights that ship.
"""

import os

# OpenMP's threads spin at barriers by default. Codecs share the cores with the model here, and spinning beside them
# made a forward pass ten times slower. Read when torch loads, so it must be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
