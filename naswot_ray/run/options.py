"""The options of a scoring run, defined once for the Python function, the command line and the run record."""

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
    """What an option decides about a dataset's rows. Every field of `ScoreOptions` is annotated with one of these.

    A publication gives a command that makes its rows again. The command has every option that is not `NOTHING`.
    """

    ROWS = "rows"
    """Which rows there are, and which measures they have. A dataset may hold rows of several values of the option."""

    SPACE = "space"
    """What the networks of a space are. The space's `settings()` record it, and a run with other settings is refused."""

    IMAGES = "images"
    """What the images are. The image source's `settings()` record it, and a run with other settings is refused."""

    VALUE = "value"
    """What the values are. The option itself is a setting of the dataset, and a run with another value is refused."""

    DIGITS = "digits"
    """Only the last digits of the values, within the tolerance of the dtype. A column records it, and a dataset may hold rows
    of several values of the option."""

    NOTHING = "nothing"
    """How the run works and where its rows are written."""


class ScoreOptions(BaseModel):
    """What to score, where to write it and what to run on.

    The description of a field is its help on the command line. Its `Decides` says what it means for the rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    output: Annotated[
        str,
        Decides.NOTHING,
        BeforeValidator(os.fspath),
        OUTPUT,
        Field(
            description="Dataset to write to: a new or empty directory, or a dataset to extend. A path, or an s3:// or gs:// "
            "URI."
        ),
    ]
    space: Annotated[list[str], Decides.ROWS, Field(description="Search space; repeat for several.")] = ["nasbench201"]
    batch_size: Annotated[list[int], Decides.ROWS, Field(description="Images per batch (N); repeat for several.")] = [128]
    seed: Annotated[list[int], Decides.ROWS, Field(description="Seed of weights and images; repeat for several.")] = [0]
    limit: Annotated[
        int | None,
        Decides.ROWS,
        Field(gt=0, description="Score only the first N architectures of each space, in the space's order. Default: all."),
    ] = None
    sample: Annotated[
        int | None,
        Decides.ROWS,
        Field(
            gt=0,
            description="Score only N random architectures of each space. They are always the same ones, and a smaller sample "
            "is part of a larger one.",
        ),
    ] = None
    space_option: Annotated[
        list[str],
        Decides.SPACE,
        SPACE_OPTION,
        Field(description="Parameter of a space, PARAMETER=VALUE, as in stem_channels=128; repeat for several."),
    ] = []
    measure: Annotated[
        list[str],
        Decides.ROWS,
        Field(
            description="Measure to compute; repeat for several, or give all. To add a measure to a dataset, run the same "
            "command with one more. `naswot-ray measures` lists them."
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
        Field(description="Directory with the images, a path or URI. Every image source except noise needs one."),
    ] = None
    image_size: Annotated[
        int | None,
        Decides.IMAGES,
        Field(
            gt=0,
            description="Height and width of the images in pixels: noise is generated at this size, other images are enlarged "
            "to it. Default: the source's own size. Spaces of ImageNet-size networks need it; they were trained at 224.",
        ),
    ] = None
    engine: Annotated[
        Literal["exact", "fast", "cuda"] | None,
        Decides.DIGITS,
        Field(
            description="What runs the networks. exact gives the kernels of the published code, bit for bit; fast gives its "
            "scores within 1e-3 in less time; cuda does so on GPUs, many architectures at a time. Default: fast, or exact "
            "where an actor has a GPU."
        ),
    ] = None
    dtype: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Decides.VALUE,
        Field(
            description="Data type that convolutions multiply. tf32 and bfloat16 need --engine cuda, and their scores are "
            "farther from the published ones."
        ),
    ] = "float32"
    retry_failed: Annotated[bool, Decides.NOTHING, Field(description="Score rows again whose status is 'failed'.")] = False
    replace_older: Annotated[
        bool,
        Decides.NOTHING,
        Field(
            description="Drop a measure's values of an older version from the whole dataset, and compute it again for the "
            "rows of this run."
        ),
    ] = False
    in_process: Annotated[bool, Decides.NOTHING, Field(description="Run in this process, without Ray.")] = False
    address: Annotated[
        str | None,
        Decides.NOTHING,
        Field(description="Ray cluster to run on, HOST:PORT or auto. Default: RAY_ADDRESS, or else Ray on this machine alone."),
    ] = None
    num_actors: Annotated[
        int | None,
        Decides.NOTHING,
        Field(
            gt=0,
            description="Number of scoring actors. Default: as many as there is room for, also on nodes that join later. A "
            "cluster that starts its nodes on demand needs this number: it starts nodes for actors that wait.",
        ),
    ] = None
    actors_per_gpu: Annotated[
        int | None,
        Decides.NOTHING,
        Field(
            gt=0,
            description="Number of actors that share one GPU. Default: 1 if the cluster has GPUs, else actors use only CPUs. "
            "Give it if the GPU nodes have not started yet.",
        ),
    ] = None
    cpus_per_actor: Annotated[
        int, Decides.NOTHING, Field(gt=0, le=4096, description="Number of CPUs, and of CPU threads, of each actor.")
    ] = 1
    shard_size: Annotated[
        int | None,
        Decides.NOTHING,
        Field(
            gt=0,
            le=MAX_SHARD_SIZE,
            description="Architectures per shard and part file. Default: the dataset's; for a new one 256 (with --sample "
            "1024), or less for a small run, down to 32.",
        ),
    ] = None
    shard_timeout: Annotated[
        float, Decides.NOTHING, Field(gt=0, description="Seconds that a shard may take before its worker is ended.")
    ] = 3600.0
    max_attempts: Annotated[
        int,
        Decides.NOTHING,
        Field(gt=0, description="How often a shard whose worker dies or hangs is tried, before it is split to find the cause."),
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
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value and no value twice, got {values}")
        if (num_points := len(self.space) * len(self.batch_size) * len(self.seed)) > MAX_POINTS:
            raise ValueError(
                f"{num_points:,} combinations of --space, --batch-size and --seed, expected at most {MAX_POINTS:,}: spread "
                "them over several runs and datasets"
            )
        if any(not 0 <= seed < 2**63 for seed in self.seed):
            raise ValueError(f"--seed must be from 0 to 2^63 - 1, got {self.seed}")
        if "@" in (self.address or ""):
            raise ValueError(
                "--address: expected HOST:PORT or auto; leave out what stands before the @, since it would be recorded"
            )
        if self.limit is not None and self.sample is not None:
            raise ValueError("--limit and --sample both choose architectures; give only one of them")
        if self.dtype != "float32" and self.engine != "cuda":
            raise ValueError(f"--dtype {self.dtype} needs --engine cuda: the other engines compute only in float32")
        return self

    def deciding(self, *kinds: Decides) -> dict[str, Any]:
        """The options that decide one of `kinds`, with their values, by name."""
        return {name: getattr(self, name) for name, decides in DECIDES.items() if decides in kinds}

    @classmethod
    def checked(cls, **values: object) -> ScoreOptions:
        """Options from values that nobody has checked yet.

        Raises:
            SettingsError: a value is out of range; the message names its option.
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
