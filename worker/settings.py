"""Settings of a worker process, from RESTYLE_* environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from jobs.settings import Settings


class WorkerSettings(Settings):
    """How one worker process works."""

    device: str = Field("auto", description="cpu, cuda, cuda:1 …; auto takes a GPU where there is one.")
    lease_seconds: float = Field(15, ge=2, le=600, description="A silent worker loses its shards after this long.")
    poll_seconds: float = Field(1, gt=0, le=60, description="Pause between looks for work when doorbells are silent.")
    item_seconds: float = Field(
        120, ge=1, le=3600, description="Longest that one stage may take for a picture, or the model for a batch."
    )
    model_threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Batches that a CPU computes at the same time; one a core if unset. A GPU: one.",
    )
    batch_size: int = Field(8, ge=1, le=256, description="Most pictures in one forward pass.")
    read_threads: int = Field(8, ge=1, le=128, description="Concurrent reads from one bucket.")
    codec_threads: int | None = Field(
        None, ge=1, le=128, description="Threads that decode, and as many that encode; one a core if unset."
    )
    write_threads: int = Field(8, ge=1, le=128, description="Concurrent writes to one bucket.")
    device_hour_cost: float = Field(
        0, ge=0, description="What an hour of this device costs, in the currency of all workers; 0: unknown."
    )
    memory_mb: int = Field(2048, ge=256, description="Budget for decoded pictures between the stages, in MiB.")
    compile_dir: Path | None = Field(
        None,
        description="Folder of compiled networks, which workers share; needs g++. Unset: nothing is compiled.",
    )
    model_memory_mb: int = Field(
        4096,
        ge=16,
        description="Budget for the weights of models that stay loaded, in MiB. One larger is loaded alone.",
    )
