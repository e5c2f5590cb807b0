"""Random rows of a dataset computed again and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from naswot_ray.audit.comparison import Recomputed, Row, difference
from naswot_ray.audit.rows import KEY
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.engines.engine import Engine, Scores, get_engine
from naswot_ray.engines.score import as_batch
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.errors import SettingsError
from naswot_ray.images.source import ImageSource
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.network import Network
from naswot_ray.spaces import Space
from naswot_ray.tolerance import TOLERANCES

_DEFAULT_ENGINE: Final = "fast"


def draw_rows(dataset: Dataset, num: int, seed: int) -> list[Row]:
    """`num` random score rows, those of a point of the grid side by side; failed rows have no score and are left out.

    Which ones depends on their keys and `seed` alone, not on the files they lie in.
    """
    columns = ", ".join((*KEY, "arch_index", "score", "score_paper", "num_units", "engine", "dtype"))
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        drawn = connection.execute(
            f"""
            SELECT {columns} FROM scores WHERE status <> 'failed'
            ORDER BY md5(concat_ws(chr(0), ?, {", ".join(KEY)})) LIMIT ?
            """,
            [seed, num],
        )
        names = [column[0] for column in drawn.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in drawn.fetchall()]
    return sorted(rows, key=lambda row: (*_point_and_engine(row), row["arch_index"]))


def recompute(
    rows: list[Row], spaces: Mapping[str, Space], sources: Mapping[str, ImageSource], engine: str | None = None
) -> Iterator[Recomputed]:
    """Compute rows again, in their order.

    Args:
        rows: as `draw_rows` gives them.
        spaces, sources: what the rows are of, by name.
        engine: what computes them; None for the one that computed each row, or `fast` where that cannot run here.

    Raises:
        SettingsError: the engine cannot run on this machine.
    """
    for (space_name, images_name, batch_size, seed, *_), alike in groupby(rows, key=_point_and_engine):
        mine = list(alike)
        space, chosen = spaces[space_name], get_engine(engine) if engine else _engine_of(mine[0])
        images = as_batch(sources[images_name].batch(batch_size, seed))
        for first in range(0, len(mine), chosen.max_group):
            group = mine[first : first + chosen.max_group]
            networks = [_network_or_error(space, row, images.shape[1:]) for row in group]
            built = [network for network in networks if isinstance(network, Network)]
            scores = iter(
                chosen.score_group(
                    built, images, [SeededWeights(network, seed) for network in built], get_measures(DEFAULT_MEASURES)
                )
            )
            for row, network in zip(group, networks, strict=True):
                yield _compared(row, chosen, next(scores) if isinstance(network, Network) else network)


def _point_and_engine(row: Row) -> tuple[str, str, int, int, str, str]:
    return row["space"], row["images"], row["batch_size"], row["seed"], row["engine"], row["dtype"]


def _engine_of(row: Row) -> Engine:
    try:
        return get_engine(row["engine"], row["dtype"])
    except SettingsError:  # a GPU's row on a machine without one
        return get_engine(_DEFAULT_ENGINE)


def _network_or_error(space: Space, row: Row, input_shape: tuple[int, ...]) -> Network | Exception:
    index: int = row["arch_index"]
    here = space[index] if 0 <= index < len(space) else None
    if here != row["arch_id"]:
        return LookupError(f"architecture {index} of the space is {here or 'not there'}")
    try:
        return space.network(row["arch_id"], input_shape=input_shape)
    except Exception as error:  # a finding, not the audit's end
        return error


def _compared(row: Row, engine: Engine, found: Scores | Exception) -> Recomputed:
    if isinstance(found, Exception):
        return Recomputed(row, engine.name, engine.dtype, None, None, None, f"{type(found).__name__}: {found}")
    tolerance = max(TOLERANCES[engine.dtype], TOLERANCES.get(row["dtype"], 0.0))
    disagreement = None
    if row["num_units"] != found.num_units:
        disagreement = f"num_units {row['num_units']}, recomputed {found.num_units}"
    else:
        for name, value in (("score", found["naswot"]), ("score_paper", found["naswot_paper"])):
            if not difference(row[name], value) <= tolerance:
                disagreement = f"{name} {row[name]}, recomputed {value}"
                break
    return Recomputed(row, engine.name, engine.dtype, found["naswot"], found["naswot_paper"], found.num_units, disagreement)
