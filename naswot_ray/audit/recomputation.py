"""Random rows of a dataset computed again and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from naswot_ray.audit.comparison import Comparison, Recomputed, StoredRow
from naswot_ray.audit.rows import KEY
from naswot_ray.dataset import layout, part_footer
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.sql import quoted
from naswot_ray.engines.engine import Engine, Scores, able_engine, get_engine
from naswot_ray.engines.score import as_batch
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.errors import SettingsError
from naswot_ray.images.source import ImageSource
from naswot_ray.measures import Measure, all_measures
from naswot_ray.network import Network
from naswot_ray.spaces import Space
from naswot_ray.tolerance import bound_of, num_tensors_of


def draw_rows(dataset: Dataset, num: int, seed: int) -> list[StoredRow]:
    """`num` random score rows, those of a point of the grid side by side; failed rows have no values and are left out.

    Which ones depends on their keys and `seed` alone, not on the files they lie in.
    """
    columns, measures = (*KEY, "arch_index", "num_units", "engine", "dtype"), dataset.measures
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        drawn = connection.execute(
            f"""
            SELECT {", ".join(map(quoted, (*columns, *measures)))} FROM scores WHERE status <> 'failed'
            ORDER BY md5(concat_ws(chr(0), ?, {", ".join(KEY)})) LIMIT ?
            """,
            [seed, num],
        )
        rows = [dict(zip((*columns, *measures), row, strict=True)) for row in drawn.fetchall()]
    paths = [_part_of(row, dataset.manifest.shard_size) for row in rows]
    versions = {path: part_footer.read_versions(dataset.storage, path) for path in set(paths)}
    found = [
        StoredRow(
            columns={name: row[name] for name in columns},
            values={name: row[name] for name in measures if row[name] is not None},
            versions=versions[path],
        )
        for row, path in zip(rows, paths, strict=True)
    ]
    return sorted(found, key=lambda row: (*_point_and_engine(row), row.columns["arch_index"]))


def recompute(
    rows: Sequence[StoredRow], spaces: Mapping[str, Space], sources: Mapping[str, ImageSource], engine: str | None = None
) -> Iterator[Recomputed]:
    """Compute every measure that rows have a value of again, in their order, in one pass for each row.

    A value is left out, and `Recomputed.left_out` says why, if it is of another version than the measure that is installed
    here, or if the engine cannot give the measure.

    Args:
        rows: as `draw_rows` gives them.
        spaces, sources: what the rows are of, by name.
        engine: what computes them. None for the engine that computed each row or, where that cannot run here or a row has
            values of several engines, `fast` if it can give the row's measures, or else `exact`.

    Raises:
        SettingsError: the engine cannot run on this machine.
    """
    for (space_name, images_name, batch_size, seed, *_), alike in groupby(rows, key=_point_and_engine):
        images = as_batch(sources[images_name].batch(batch_size, seed))
        for (names, left_out), mine in groupby(alike, key=_measures_of):
            same = list(mine)
            wanted = [all_measures()[name] for name in names]
            chosen = get_engine(engine) if engine else _engine_for(same[0], wanted)
            able = [one for one in wanted if one.statistics <= chosen.statistics]
            unable = {one.name: f"engine {chosen.name} cannot give it" for one in wanted if one not in able}
            for first in range(0, len(same), chosen.max_group):
                group = same[first : first + chosen.max_group]
                networks = [_network_or_error(spaces[space_name], row, images.shape[1:]) for row in group]
                built = [network for network in networks if isinstance(network, Network)]
                weights = [SeededWeights(network, seed) for network in built]
                scores = iter(chosen.score_group(built, images, weights, able) if able else [None] * len(built))
                for row, network in zip(group, networks, strict=True):
                    found = next(scores) if isinstance(network, Network) else None
                    yield _compared(row, network, found, chosen, able, left_out | unable)


def _point_and_engine(row: StoredRow) -> tuple[str, str, int, int, str, str]:
    c = row.columns
    return c["space"], c["images"], c["batch_size"], c["seed"], c["engine"], c["dtype"]


def _part_of(row: Mapping[str, Any], shard_size: int) -> PurePosixPath:
    """Where the part lies that a row is in."""
    return layout.scores(row["space"], row["images"], row["batch_size"], row["seed"], row["arch_index"] // shard_size)


def _measures_of(row: StoredRow) -> tuple[list[str], dict[str, str]]:
    """The measures of a row that can be computed again; and those that cannot, each with the reason."""
    known, left_out = all_measures(), {}
    for name in row.values:
        version = row.versions.get(name)
        if name not in known:
            left_out[name] = "no package that is installed here has this measure"
        elif version != known[name].version:
            told = "do not tell their version" if version is None else f"are of version {version}"
            left_out[name] = f"the values {told}, version {known[name].version} is installed here"
    return [name for name in row.values if name not in left_out], left_out


def _engine_for(row: StoredRow, measures: Sequence[Measure]) -> Engine:
    try:
        engine = get_engine(row.columns["engine"], row.columns["dtype"])
        engine.check_measures(measures)
    except SettingsError:  # a GPU's row on a machine without one, or a row that several engines computed
        return get_engine(able_engine(measures))
    return engine


def _network_or_error(space: Space, row: StoredRow, input_shape: tuple[int, ...]) -> Network | Exception:
    index, arch_id = row.columns["arch_index"], row.columns["arch_id"]
    here = space[index] if 0 <= index < len(space) else None
    if here != arch_id:
        return LookupError(f"architecture {index} of the space is {here or 'not there'}")
    try:
        return space.network(arch_id, input_shape=input_shape)
    except Exception as error:  # a finding, not the audit's end
        return error


def _compared(
    row: StoredRow,
    network: Network | Exception,
    found: Scores | Exception | None,
    engine: Engine,
    measures: Sequence[Measure],
    left_out: Mapping[str, str],
) -> Recomputed:
    """A row beside what was computed again; `found` is None where the row has no value that could be."""
    result = partial(Recomputed, row, engine.name, engine.dtype, left_out=left_out)
    for failed in (network, found):
        if isinstance(failed, Exception):
            return result((), problem=f"{type(failed).__name__}: {failed}")
    assert isinstance(network, Network)
    stored = row.columns
    if stored["num_units"] != network.num_units:
        return result((), problem=f"num_units {stored['num_units']}, recomputed {network.num_units}")
    if found is None:
        return result(())
    assert isinstance(found, Scores)
    same_engine = (stored["engine"], stored["dtype"]) == (engine.name, engine.dtype)
    num_tensors, values = num_tensors_of(network), dict(found)
    comparisons = tuple(
        Comparison(
            one.name,
            row.values[one.name],
            values[one.name],
            bound_of(one, values[one.name], num_tensors, engine.dtype, stored["dtype"]),
            same_engine,
        )
        for one in measures
        if one.name in values
    )
    failures = [f"{name} {row.values[name]}, computing it again failed: {why}" for name, why in found.errors.items()]
    return result(comparisons, problem="; ".join(failures) or None)
