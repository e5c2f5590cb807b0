"""The options of a scoring run: one definition for the Python function, the command line and the run record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from naswot_ray.errors import SettingsError

DEFAULT_SHARD_SIZE = 64


class ScoreOptions(BaseModel):
    """What to score, where to write it, and on what to run. Field descriptions are the command line's help."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Annotated[Path, Field(description="Dataset to write to: a new or empty directory, or a dataset to extend.")]
    space: Annotated[list[str], Field(description="Search space; repeat for several.")] = ["nasbench201"]
    batch_size: Annotated[list[int], Field(description="Images per batch (N); repeat for several.")] = [128]
    seed: Annotated[list[int], Field(description="Seed of weights and batch; repeat for several.")] = [0]
    limit: Annotated[
        PositiveInt | None, Field(description="Only the first LIMIT architectures of each space, in its order [default: all].")
    ] = None
    images: Annotated[str, Field(description="Image source: noise, cifar10, cifar100 or imagenet16-120.")] = "noise"
    data: Annotated[Path | None, Field(description="Directory with the images (all sources but noise).")] = None
    retry_failed: Annotated[bool, Field(description="Score rows whose status is 'failed' again.")] = False
    shard_size: Annotated[
        PositiveInt | None,
        Field(description=f"Architectures per part file [default: the dataset's, or {DEFAULT_SHARD_SIZE} for a new one]."),
    ] = None
    address: Annotated[
        str | None,
        Field(description="Ray cluster, host:port or auto [default: RAY_ADDRESS, or else Ray on this machine alone]."),
    ] = None
    num_actors: Annotated[PositiveInt | None, Field(description="Scoring actors [default: as many as there is room for].")] = (
        None
    )
    actors_per_gpu: Annotated[PositiveInt, Field(description="Actors that share one GPU, where there are GPUs.")] = 1
    cpus_per_actor: Annotated[PositiveInt, Field(description="CPUs, and CPU threads, of each actor.")] = 1
    max_attempts: Annotated[
        PositiveInt, Field(description="Tries of a shard whose worker dies or hangs, before it is split to find the cause.")
    ] = 3
    shard_timeout: Annotated[PositiveFloat, Field(description="Seconds one shard may take.")] = 3600.0
    in_process: Annotated[bool, Field(description="Run in this process, without Ray.")] = False

    @model_validator(mode="after")
    def _no_duplicates(self) -> ScoreOptions:
        for name in ("space", "batch_size", "seed"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value, each once, got {values}")
        if any(seed < 0 or seed >= 2**63 for seed in self.seed):
            raise ValueError(f"--seed must be from 0 to 2^63 - 1, got {self.seed}")
        return self

    @classmethod
    def checked(cls, **values: object) -> ScoreOptions:
        """Options from unchecked values.

        Raises:
            SettingsError: one of them is out of range; names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"--{str(part).replace('_', '-')} " for part in first["loc"][:1])
            raise SettingsError(f"{where}{first['msg'].removeprefix('Value error, ')}") from error
