"""SPDL, with the device as a stage in the middle, as its case study of inference has it."""

from __future__ import annotations

from spdl.pipeline import PipelineBuilder

from benchmarks.stream_peers import photos

STORAGE, CODECS = 8, 2  # threads, as this system has by default

Loaded = tuple[str, photos.Pixels]


def fetch(key: str) -> tuple[str, bytes]:
    return key, photos.fetch(key)


def decode(fetched: tuple[str, bytes]) -> Loaded:
    key, data = fetched
    return key, photos.decode(data)


def model(batch: list[Loaded]) -> list[Loaded]:
    keys, pictures = zip(*batch, strict=True)
    return list(zip(keys, photos.model(pictures), strict=True))


def encode(restyled: Loaded) -> tuple[str, bytes]:
    key, picture = restyled
    return key, photos.encode(picture)


def put(encoded: tuple[str, bytes]) -> str:
    key, data = encoded
    photos.put(key, data)
    return key


def main() -> None:
    """Restyle the catalogue."""
    pipeline = (
        PipelineBuilder()
        .add_source(photos.catalogue())
        .pipe(fetch, concurrency=STORAGE)
        .pipe(decode, concurrency=CODECS)
        .aggregate(photos.BATCH)
        .pipe(model)
        .disaggregate()
        .pipe(encode, concurrency=CODECS)
        .pipe(put, concurrency=STORAGE)
        .add_sink()
        .build(num_threads=2 * STORAGE + 2 * CODECS + 1)
    )
    with pipeline.auto_stop():
        for _ in pipeline:
            pass


if __name__ == "__main__":
    main()
