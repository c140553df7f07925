"""A loop over batches: a pool of threads loads one, the model has it, the pool saves it; then the next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.stream_peers import photos


def main() -> None:
    """Restyle the catalogue."""
    with ThreadPoolExecutor(photos.BATCH) as pool:
        for keys in photos.batches():
            pictures = photos.model(list(pool.map(photos.load, keys)))
            list(pool.map(photos.save, keys, pictures))


if __name__ == "__main__":
    main()
