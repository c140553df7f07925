"""Several models on the device: equal bytes in any company and in pieces, with masks."""

from __future__ import annotations

import torch

from jobs.cards import CardShelf
from tests.worker.test_cascade import cut, masked
from tests.worker.test_pipelines import FULL, batch, photo
from worker import cascade
from worker.cascade import ReadyStep
from worker.checkpoints import load_pipeline


def steps(device: torch.device) -> list[ReadyStep]:
    found = []
    for name, on in (("reference-grade", "product"), ("reinhard", "all"), ("monge-kantorovich", "background")):
        pipeline = load_pipeline(CardShelf(), name, device)
        style = pipeline.encode_style([photo(80, 120, seed=100).to(device) // 2])
        found.append(ReadyStep(pipeline=pipeline, style=style, parameters=FULL, on=on))  # type: ignore[arg-type]
    return found


def test_a_picture_does_not_depend_on_its_company_nor_on_being_taken_apart(device: torch.device) -> None:
    models = steps(device)
    alone = masked(batch(photo(97, 131)))
    expected = cut(cascade.run(models, alone.on(device)).cpu(), alone)[0]
    company = masked(batch(photo(60, 140, seed=1), photo(97, 131), padding=(31, 5), fill=255))
    assert torch.equal(cut(cascade.run(models, company.on(device)).cpu(), company)[1], expected)
    assert torch.equal(cascade.run_tiled(models, alone, device)[0], expected)
