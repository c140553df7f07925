"""Writes the page of the models that make pictures: figures, and examples that nobody chose by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gallery import Series, strip

WEBP_QUALITY = 80  # chosen: no block is to be seen
HEAD_ROWS = 2  # of a table


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a group of families gave.

    figures: by key, for the last line.
    table: rows of the page's table, the first its head.
    series: by model, what there is to show.
    """

    figures: Mapping[str, float | str]
    heading: str
    table: Sequence[Sequence[str]]
    series: Mapping[str, Sequence[Series]]


def write_page(folder: Path, figures: Mapping[str, float | str], measured: Sequence[Measured]) -> None:
    """Write README.md, figures.json and the pictures into a folder; pictures of an older page go."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    sections, examples = [_head(figures)], {}
    for group in (group for group in measured if len(group.table) > HEAD_ROWS):
        sections += [f"## {group.heading}", "\n".join(f"| {' | '.join(row)} |" for row in group.table)]
        for model, of_model in group.series.items():
            sections.append(f"### `{model}`")
            for series in of_model:
                sections.append(f"**{series.heading}** {series.beside}")
                for rank, example in series.ranked():
                    file = f"{model}-{series.name}-{rank}.webp"
                    strip(example.pictures).save(folder / file, "WEBP", quality=WEBP_QUALITY, method=6)
                    said = " · ".join(f"{name}: {value}" for name, value in example.figures.items())
                    sections += [f"![{model}: {rank}]({file})", f"*{rank}* · {example.title} · {said}"]
                    examples[file] = {"title": example.title, **example.figures}
    (folder / "README.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    content = {"figures": figures, "examples": examples}
    (folder / "figures.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _head(figures: Mapping[str, float | str]) -> str:
    return f"""\
# Gallery: pictures that were made

What the built-in models make, with figures. Made by

```
python -m benchmarks.generate --photos DIR --gallery docs/gallery/generate
```

The table of what is made from pictures is of {figures["photos"]} photos that the command was given; they are
not shown. Rates: {figures["threads"]} thread of {figures["device"]}, one picture at a time, while the machine did other
things too. Of all examples the best, the middle one and the worst by the measure that is named are shown, not chosen
by hand. [generating.md](../../generating.md) says what each figure means; all are in
[figures.json](figures.json)."""
