"""What the witness saw: how often each item started and took effect, and how soon what died went on elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that happened to an item."""

    letter: str  # S: started, E: took effect
    item: int
    group: int  # session of processes: a worker with its children
    at: float  # seconds, of this machine's clock


@dataclass(frozen=True, kw_only=True)
class Kill:
    """The end of a worker and all its children."""

    group: int
    at: float


def read(path: Path) -> list[Line]:
    """Return the lines so far, in the order in which they were written."""
    if not path.exists():
        return []
    return [_line(text) for text in path.read_text().splitlines()]


def _line(text: str) -> Line:
    letter, item, group, at = text.split()
    return Line(letter=letter, item=int(item), group=int(group), at=float(at))


class Witness:
    """Follows a file that is being written: who watches a run takes as little of the machine as can be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[Line] = []
        self._offset = 0

    def lines(self) -> list[Line]:
        """Return the lines so far, in the order in which they were written; each is read once."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, end, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(end)
            self._lines += map(_line, whole.decode().splitlines())
        return self._lines


def effects(lines: list[Line]) -> Counter[int]:
    """Count how often each item took effect."""
    return Counter(line.item for line in lines if line.letter == "E")


def starts(lines: list[Line]) -> int:
    """Count the starts, all told."""
    return sum(line.letter == "S" for line in lines)


def recoveries(lines: list[Line], kills: list[Kill]) -> list[float | None]:
    """Return, for each item that was cut off by a kill, the seconds until it started again; None where it never did."""
    of_item: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        of_item[line.item].append(line)
    found: list[float | None] = []
    for kill in kills:
        for item in _cut_off(lines, kill):
            again = [line.at for line in of_item[item] if line.letter == "S" and line.at > kill.at]
            found.append(min(again) - kill.at if again else None)
    return found


def _cut_off(lines: list[Line], kill: Kill) -> set[int]:
    """Items that the killed group had started and not ended."""
    under_way: set[int] = set()
    for line in lines:
        if line.group == kill.group and line.at <= kill.at:
            (under_way.add if line.letter == "S" else under_way.discard)(line.item)
    return under_way
