"""Torch's DataLoader with two workers, which load ahead, and a loop that saves each batch from a pool of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from torch.utils.data import DataLoader, Dataset

from benchmarks.stream_peers import photos

WORKERS = 2

Loaded = tuple[str, photos.Pixels]


class Catalogue(Dataset[Loaded]):
    """The pictures by number."""

    def __init__(self) -> None:
        self._keys = photos.catalogue()

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> Loaded:
        return self._keys[number], photos.load(self._keys[number])


def as_they_are(batch: list[Loaded]) -> list[Loaded]:
    """Collate pictures of several sizes: not at all."""
    return batch


def main() -> None:
    """Restyle the catalogue."""
    loader = DataLoader(Catalogue(), batch_size=photos.BATCH, num_workers=WORKERS, collate_fn=as_they_are)
    with ThreadPoolExecutor(photos.BATCH) as pool:
        for batch in loader:
            keys, pictures = zip(*batch, strict=True)
            list(pool.map(photos.save, keys, photos.model(pictures)))


if __name__ == "__main__":
    main()
