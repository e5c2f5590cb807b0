"""Golden scores: 200 networks of each space, which a change that is no new version of a measure must not move.

    python -m bench.golden compare                       # every space and both engines, against bench/golden.parquet
    python -m bench.golden compare --space nats_sss --num 20
    python -m bench.golden make before.parquet           # on a machine that rounds otherwise: before the change ...
    python -m bench.golden compare before.parquet        # ... and after it

`compare` asks for equal bits. Processors and versions of torch may round differently, so a difference proves a change only on
the machine and with the versions that made the file. A difference beyond the measure's tolerance is marked: no machine may
differ that much. The committed file holds the scores of the code of November 2026, before measures got files of their own, on
a CPU with AVX-512 and torch 2.13. The images are noise, so that nobody needs data.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import typer

from bench import one_thread
from bench.samples import SPACES, samples
from naswot_ray.engines.score import score
from naswot_ray.images.source import load_images
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.network import Network
from naswot_ray.tolerance import bound_of, num_tensors_of

FILE: Final = Path(__file__).with_suffix(".parquet")
"""The committed file, 200 networks of each space."""

ENGINES: Final = ("exact", "fast")
BATCH_SIZE: Final = 16
BATCH_SEED: Final = 0
WEIGHT_SEED: Final = 3

_SCHEMA: Final = pa.schema(
    [
        pa.field("space", pa.string(), nullable=False),
        pa.field("arch_id", pa.string(), nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("num_units", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in DEFAULT_MEASURES),
    ]
)

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class GoldenScore:
    """The scores of one network by one engine.

    Attributes:
        space, arch_id, engine: which network, and what computed it.
        num_units: N_A.
        naswot, naswot_paper: the two measures.
    """

    space: str
    arch_id: str
    engine: str
    num_units: int
    naswot: float
    naswot_paper: float


@dataclass(frozen=True)
class Difference:
    """A network whose scores are not the golden ones.

    Attributes:
        golden, found: the scores in the file, and those of the present code.
        tolerated: whether another machine could have given the scores that were found.
    """

    golden: GoldenScore
    found: GoldenScore
    tolerated: bool

    def __str__(self) -> str:
        numbers = ", ".join(
            f"{name} {before!r} -> {after!r}"
            for name, before in asdict(self.golden).items()
            if before != (after := getattr(self.found, name))
        )
        beyond = "" if self.tolerated else " (beyond the tolerance)"
        return f"{self.golden.space} {self.golden.arch_id} {self.golden.engine}: {numbers}{beyond}"


def compute(space: str, num: int) -> Iterator[tuple[Network, GoldenScore]]:
    """Score the first networks that `samples` draws from a space, each with all of `ENGINES`."""
    images = torch.from_numpy(load_images("noise").batch(BATCH_SIZE, seed=BATCH_SEED))
    for sample in samples(space, num):
        network = sample.build()
        for engine in ENGINES:
            scores = score(network, images, seed=WEIGHT_SEED, engine=engine)
            yield network, GoldenScore(space, sample.arch_id, engine, scores.num_units, **scores)


def compare(golden: Sequence[GoldenScore]) -> Iterator[Difference]:
    """Compute golden scores of one space again, and yield those whose bits differ.

    Args:
        golden: scores as `read` returns them: the first networks of the space, each with all of `ENGINES`.

    Raises:
        ValueError: they are of other networks than `samples` draws.
    """
    for before, (network, found) in zip(golden, compute(golden[0].space, len(golden) // len(ENGINES)), strict=True):
        if (before.arch_id, before.engine) != (found.arch_id, found.engine):
            there, drawn = f"{before.arch_id} by {before.engine}", f"{found.arch_id} by {found.engine}"
            raise ValueError(f"{found.space}: the file has {there} where {drawn} comes next")
        if before != found:
            yield Difference(before, found, is_tolerated(before, found, network))


def is_tolerated(golden: GoldenScore, found: GoldenScore, network: Network) -> bool:
    """Whether scores differ no more than those of two machines may: by the tolerances, and not at all in the units."""
    if golden.num_units != found.num_units:
        return False
    for one in get_measures(DEFAULT_MEASURES):
        before, after = getattr(golden, one.name), getattr(found, one.name)
        # Two infinities are equal but have no difference.
        if before != after and not abs(before - after) <= bound_of(one, before, num_tensors_of(network), "float32"):
            return False
    return True


def read(file: Path, space: str, num: int | None = None) -> list[GoldenScore]:
    """The golden scores of the first `num` networks of a space, by default of all in the file."""
    table = pq.read_table(file, schema=_SCHEMA).filter(pc.field("space") == space)
    rows = [GoldenScore(**row) for row in table.to_pylist()]
    return rows if num is None else rows[: num * len(ENGINES)]


def write(file: Path, rows: Sequence[GoldenScore]) -> None:
    """Write golden scores."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA)
    pq.write_table(table, file, compression="zstd", compression_level=19)


@app.command("make")
def _make(
    file: Annotated[Path, typer.Argument(help="File to write.")] = FILE,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 200,
) -> None:
    """Score the networks with the present code and write the file."""
    torch.set_num_threads(1)
    rows: list[GoldenScore] = []
    for space in SPACES:
        rows += [found for _, found in compute(space, num)]
        print(f"{space}: {len(rows)} scores so far", flush=True)
    write(file, rows)


@app.command("compare")
def _compare(
    file: Annotated[Path, typer.Argument(help="File to compare with.")] = FILE,
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several. Default: all.")] = None,
    num: Annotated[int | None, typer.Option(help="Only the first networks of each space.")] = None,
) -> None:
    """Score the networks again, print those whose scores differ, and fail if there are any."""
    torch.set_num_threads(1)
    num_compared = num_different = 0
    for name in space or SPACES:
        golden = read(file, name, num)
        if not golden:
            print(f"{file} has no scores of {name!r}", file=sys.stderr)
            raise typer.Exit(code=2)
        for difference in compare(golden):
            print(difference, flush=True)
            num_different += 1
        num_compared += len(golden)
        print(f"{name}: {num_different} differences in {num_compared} scores so far", flush=True)
    raise typer.Exit(code=bool(num_different))


if __name__ == "__main__":
    one_thread.restart("bench.golden")
    app()
