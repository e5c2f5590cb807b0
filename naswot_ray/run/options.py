"""The options of a scoring run: one definition for the Python function, the command line and the run record."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

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

from naswot_ray.dataset.manifest import MAX_SHARD_SIZE
from naswot_ray.dataset.runs import MAX_POINTS
from naswot_ray.errors import SettingsError
from naswot_ray.measures import DEFAULT_MEASURES
from naswot_ray.paths import INPUT, OUTPUT, SPACE_OPTION, PathOption


class Decides(StrEnum):
    """What an option decides of a dataset's rows. It stands on the option itself, so that no user of it can forget one.

    Everything but `NOTHING` goes into the command that a publication gives for making the rows again.
    """

    ROWS = "rows"
    """Which rows there are, and which of their measures. Those of another value may lie in the same dataset."""

    SPACE = "space"
    """What the networks of a space are: its `settings()` tell, and a run with others is refused."""

    IMAGES = "images"
    """What the images are: the source's `settings()` tell, and a run with others is refused."""

    VALUE = "value"
    """What the values are: it is a setting of the dataset by itself, and a run with another one is refused."""

    DIGITS = "digits"
    """The last digits of the values, within the tolerance of the dtype: a column tells, and a dataset may hold several."""

    NOTHING = "nothing"
    """How the run goes, and where the rows lie."""


class ScoreOptions(BaseModel):
    """What to score, where to write it, and on what to run.

    Field descriptions are the command line's help. Each field says what it `Decides`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    output: Annotated[
        str,
        Decides.NOTHING,
        BeforeValidator(os.fspath),
        OUTPUT,
        Field(description="Dataset to write to: a new or empty directory, or a dataset to extend; a path or s3://, gs:// URI."),
    ]
    space: Annotated[list[str], Decides.ROWS, Field(description="Search space; repeat for several.")] = ["nasbench201"]
    batch_size: Annotated[list[int], Decides.ROWS, Field(description="Images per batch (N); repeat for several.")] = [128]
    seed: Annotated[list[int], Decides.ROWS, Field(description="Seed of weights and batch; repeat for several.")] = [0]
    limit: Annotated[
        int | None,
        Decides.ROWS,
        Field(gt=0, description="Only the first LIMIT architectures of each space, in its order. Default: all."),
    ] = None
    sample: Annotated[
        int | None,
        Decides.ROWS,
        Field(
            gt=0,
            description="Only SAMPLE architectures of each space, drawn at random: always the same ones, a smaller sample is "
            "part of a larger one.",
        ),
    ] = None
    space_option: Annotated[
        list[str],
        Decides.SPACE,
        SPACE_OPTION,
        Field(description="PARAMETER=VALUE of a space, as in stem_channels=128; repeat for several."),
    ] = []
    measure: Annotated[
        list[str],
        Decides.ROWS,
        Field(
            description="Measure to take; repeat for several, or say all. The same command with one more measure fills it in. "
            "`naswot-ray measures` lists them."
        ),
    ] = list(DEFAULT_MEASURES)
    images: Annotated[str, Decides.IMAGES, Field(description="Image source: noise, cifar10, cifar100 or imagenet16-120.")] = (
        "noise"
    )
    data: Annotated[
        str | None,
        Decides.IMAGES,
        BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path),
        INPUT,
        Field(description="Directory with the images, a path or URI; every source but noise needs one."),
    ] = None
    image_size: Annotated[
        int | None,
        Decides.IMAGES,
        Field(
            gt=0,
            description="Height and width that images are drawn at (noise) or enlarged to. Default: the source's own. Spaces "
            "of ImageNet-size networks need it; they were trained at 224.",
        ),
    ] = None
    engine: Annotated[
        Literal["exact", "fast", "cuda"] | None,
        Decides.DIGITS,
        Field(
            description="What scores: exact has the published code's very kernels, fast its scores within 1e-3 in less time, "
            "cuda likewise on GPUs, many architectures at a time. Default: fast, or exact where an actor has a GPU."
        ),
    ] = None
    dtype: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Decides.VALUE,
        Field(
            description="What convolutions multiply. Engine cuda alone has another than float32; scores are farther off then."
        ),
    ] = "float32"
    retry_failed: Annotated[bool, Decides.NOTHING, Field(description="Score rows whose status is 'failed' again.")] = False
    replace_older: Annotated[
        bool,
        Decides.NOTHING,
        Field(description="Drop a measure's values of an older version, everywhere in the dataset, and take it again."),
    ] = False
    in_process: Annotated[bool, Decides.NOTHING, Field(description="Run in this process, without Ray.")] = False
    address: Annotated[
        str | None,
        Decides.NOTHING,
        Field(description="Ray cluster, HOST:PORT or auto. Default: RAY_ADDRESS, or else Ray on this machine alone."),
    ] = None
    num_actors: Annotated[
        int | None,
        Decides.NOTHING,
        Field(
            gt=0,
            description="Scoring actors. Default: as many as there is room for, also on nodes that join later. On a cluster "
            "that starts its nodes on demand, say how many: they are the demand.",
        ),
    ] = None
    actors_per_gpu: Annotated[
        int | None,
        Decides.NOTHING,
        Field(
            gt=0,
            description="Actors that share one GPU. Default: 1 where the cluster has GPUs, else actors use CPUs alone; say it "
            "where GPU nodes are still to be started.",
        ),
    ] = None
    cpus_per_actor: Annotated[
        int, Decides.NOTHING, Field(gt=0, le=4096, description="CPUs, and CPU threads, of each actor.")
    ] = 1
    shard_size: Annotated[
        int | None,
        Decides.NOTHING,
        Field(
            gt=0,
            le=MAX_SHARD_SIZE,
            description="Architectures per shard and part file. Default: the dataset's; for a new one 256, or down to 32 for a "
            "small run.",
        ),
    ] = None
    shard_timeout: Annotated[float, Decides.NOTHING, Field(gt=0, description="Seconds that one shard may take.")] = 3600.0
    max_attempts: Annotated[
        int,
        Decides.NOTHING,
        Field(gt=0, description="Tries of a shard whose worker dies or hangs, before it is split to find the cause."),
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
        for name in ("space", "batch_size", "seed", "measure"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value, each once, got {values}")
        if (num_points := len(self.space) * len(self.batch_size) * len(self.seed)) > MAX_POINTS:
            raise ValueError(
                f"{num_points:,} combinations of --space, --batch-size and --seed, expected at most {MAX_POINTS:,}: split them "
                "over several runs and datasets"
            )
        if any(not 0 <= seed < 2**63 for seed in self.seed):
            raise ValueError(f"--seed must be from 0 to 2^63 - 1, got {self.seed}")
        if "@" in (self.address or ""):
            raise ValueError("--address: expected HOST:PORT or auto, without anything before an @, which would be recorded")
        if self.limit is not None and self.sample is not None:
            raise ValueError("--limit and --sample both say which architectures; give one")
        if self.dtype != "float32" and self.engine != "cuda":
            raise ValueError(f"--dtype {self.dtype} needs --engine cuda: other engines compute in float32 alone")
        return self

    def deciding(self, *kinds: Decides) -> dict[str, Any]:
        """The options that decide one of these things, by name."""
        return {name: getattr(self, name) for name, decides in DECIDES.items() if decides in kinds}

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


def _decides(name: str) -> Decides:
    (found,) = (entry for entry in ScoreOptions.model_fields[name].metadata if isinstance(entry, Decides))
    return found


DECIDES: Final = {name: _decides(name) for name in ScoreOptions.model_fields}
"""Option -> what it decides."""
