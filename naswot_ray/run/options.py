"""The options of a scoring run: one definition for the Python function, the command line and the run record."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from naswot_ray.errors import SettingsError
from naswot_ray.paths import INPUT, OUTPUT, SPACE_OPTION, PathOption


class ScoreOptions(BaseModel):
    """What to score, where to write it, and on what to run. Field descriptions are the command line's help."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Annotated[
        str,
        BeforeValidator(os.fspath),
        OUTPUT,
        Field(description="Dataset to write to: a new or empty directory, or a dataset to extend; a path or s3://, gs:// URI."),
    ]
    space: Annotated[list[str], Field(description="Search space; repeat for several.")] = ["nasbench201"]
    batch_size: Annotated[list[int], Field(description="Images per batch (N); repeat for several.")] = [128]
    seed: Annotated[list[int], Field(description="Seed of weights and batch; repeat for several.")] = [0]
    limit: Annotated[
        int | None, Field(gt=0, description="Only the first LIMIT architectures of each space, in its order. Default: all.")
    ] = None
    sample: Annotated[
        int | None,
        Field(
            gt=0,
            description="Only SAMPLE architectures of each space, drawn at random: always the same ones, a smaller sample is "
            "part of a larger one.",
        ),
    ] = None
    space_option: Annotated[
        list[str], SPACE_OPTION, Field(description="PARAMETER=VALUE of a space, as in stem_channels=128; repeat for several.")
    ] = []
    images: Annotated[str, Field(description="Image source: noise, cifar10, cifar100 or imagenet16-120.")] = "noise"
    data: Annotated[
        str | None,
        BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path),
        INPUT,
        Field(description="Directory with the images, a path or URI; every source but noise needs one."),
    ] = None
    image_size: Annotated[
        int | None,
        Field(
            gt=0,
            description="Height and width that images are drawn at (noise) or enlarged to. Default: the source's own. Spaces "
            "of ImageNet-size networks need it; they were trained at 224.",
        ),
    ] = None
    engine: Annotated[
        Literal["exact", "fast", "cuda"] | None,
        Field(
            description="What scores: exact has the published code's very kernels, fast its scores within 1e-3 in less time, "
            "cuda likewise on GPUs, many architectures at a time. Default: fast, or exact where an actor has a GPU."
        ),
    ] = None
    dtype: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Field(
            description="What convolutions multiply. Engine cuda alone has another than float32; scores are farther off then."
        ),
    ] = "float32"
    retry_failed: Annotated[bool, Field(description="Score rows whose status is 'failed' again.")] = False
    in_process: Annotated[bool, Field(description="Run in this process, without Ray.")] = False
    address: Annotated[
        str | None,
        Field(description="Ray cluster, HOST:PORT or auto. Default: RAY_ADDRESS, or else Ray on this machine alone."),
    ] = None
    num_actors: Annotated[
        int | None,
        Field(
            gt=0,
            description="Scoring actors. Default: as many as there is room for, also on nodes that join later. On a cluster "
            "that starts its nodes on demand, say how many: they are the demand.",
        ),
    ] = None
    actors_per_gpu: Annotated[
        int | None,
        Field(
            gt=0,
            description="Actors that share one GPU. Default: 1 where the cluster has GPUs, else actors use CPUs alone; say it "
            "where GPU nodes are still to be started.",
        ),
    ] = None
    cpus_per_actor: Annotated[int, Field(gt=0, description="CPUs, and CPU threads, of each actor.")] = 1
    shard_size: Annotated[
        int | None,
        Field(
            gt=0,
            description="Architectures per shard and part file. Default: the dataset's; for a new one 256, or down to 32 for a "
            "small run.",
        ),
    ] = None
    shard_timeout: Annotated[float, Field(gt=0, description="Seconds that one shard may take.")] = 3600.0
    max_attempts: Annotated[
        int, Field(gt=0, description="Tries of a shard whose worker dies or hangs, before it is split to find the cause.")
    ] = 3

    @field_validator("*")
    @classmethod
    def _settle_paths(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        for mark in cls.model_fields[info.field_name].metadata:
            if isinstance(mark, PathOption) and value is not None:
                return [mark.settled(text, "") for text in value] if isinstance(value, list) else mark.settled(value, "")
        return value

    @model_validator(mode="after")
    def _lists_without_repeats(self) -> ScoreOptions:
        for name in ("space", "batch_size", "seed"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value, each once, got {values}")
        if any(not 0 <= seed < 2**63 for seed in self.seed):
            raise ValueError(f"--seed must be from 0 to 2^63 - 1, got {self.seed}")
        if self.limit is not None and self.sample is not None:
            raise ValueError("--limit and --sample both say which architectures; give one")
        if self.dtype != "float32" and self.engine != "cuda":
            raise ValueError(f"--dtype {self.dtype} needs --engine cuda: other engines compute in float32 alone")
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
            option = "".join(f"--{str(part).replace('_', '-')}: " for part in first["loc"][:1])
            got = f", got {first['input']!r}" if option else ""
            raise SettingsError(f"{option}{first['msg'].removeprefix('Value error, ')}{got}") from error
