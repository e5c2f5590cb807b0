"""What a dataset's rows tell by themselves: keys that repeat, values that no kernel has, columns that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.spaces import facts_of

KEY: Final = ("space", "arch_id", "images", "batch_size", "seed")

_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Finding:
    """Something that cannot be right.

    Attributes:
        reason: one line.
        num_rows: how many rows it is true of.
        example: the key of one of them, as `column=value, ...`.
    """

    reason: str
    num_rows: int
    example: str


@dataclass(frozen=True)
class PointCounts:
    """The rows of a space on one image source at one batch size and seed."""

    space: str
    images: str
    batch_size: int
    seed: int
    num_rows: int
    num_singular: int
    num_failed: int


def find_contradictions(dataset: Dataset) -> Iterator[Finding]:
    """Look at all score rows; nothing is computed again.

    Of a kernel of n images with N_A units, 0 <= log|det K| <= n log N_A where it is not singular: a determinant of integers
    that is not 0 is at least 1, and no more than the product of the diagonal (Hadamard).
    """
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        for reason, query in _CHECKS.items():
            found = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
            assert found is not None
            if found[0]:
                first = connection.execute(f"SELECT * FROM ({query}) ORDER BY ALL LIMIT 1")
                columns, row = [column[0] for column in first.description or ()], first.fetchone()
                assert row is not None
                yield Finding(reason, found[0], ", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=True)))


def find_other_dtypes(dataset: Dataset) -> Iterator[Finding]:
    """Rows whose arithmetic had another dtype than the dataset's settings say."""
    dtype = dataset.manifest.settings.values["dtype"]
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        rows = connection.execute(
            f"SELECT {_KEYS}, dtype FROM scores WHERE status <> 'failed' AND dtype <> ? ORDER BY ALL", [dtype]
        ).fetchall()
    if rows:
        example = ", ".join(f"{column}={value}" for column, value in zip((*KEY, "dtype"), rows[0], strict=True))
        yield Finding(f"another dtype than the dataset's, {dtype}", len(rows), example)


def count_points(dataset: Dataset) -> list[PointCounts]:
    """What there is of each point of the grid."""
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        return [PointCounts(*row) for row in connection.sql(_POINTS).fetchall()]


def find_wrong_counts(points: list[PointCounts], sizes: dict[str, int]) -> Iterator[Finding]:
    """Points that hold a whole space but too few singular kernels.

    Args:
        points: as `count_points` gives them.
        sizes: of the spaces.
    """
    for p in points:
        expected = facts_of(p.space).num_singular
        if expected is not None and p.num_rows == sizes[p.space] and not p.num_failed and p.num_singular < expected:
            example = f"space={p.space}, images={p.images}, batch_size={p.batch_size}, seed={p.seed}"
            yield Finding(f"{p.num_singular} singular kernels where the space has {expected}", p.num_rows, example)


_KEYS: Final = ", ".join(KEY)

_CHECKS: Final = {
    "a key more than once": f"SELECT {_KEYS} FROM scores GROUP BY ALL HAVING count(*) > 1",
    "a score that its status does not have": f"""
        SELECT {_KEYS}, status, score FROM scores WHERE NOT CASE status
            WHEN 'ok' THEN coalesce(isfinite(score) AND NOT isnan(score_paper), false)
            WHEN 'singular' THEN coalesce(score = '-inf'::DOUBLE, false)
            WHEN 'failed' THEN score IS NULL AND error IS NOT NULL
            ELSE false END
    """,
    "a score that no kernel has": f"""
        SELECT {_KEYS}, num_units, score, score_paper FROM scores
        WHERE status = 'ok' AND isfinite(score) AND NOT coalesce(
            num_units > 0 AND score >= -{_ROUNDING} AND score_paper <= score + {_ROUNDING}
            AND score <= batch_size * ln(greatest(num_units, 1)) + {_ROUNDING}, false)
    """,
    "other num_units than the same network elsewhere": f"""
        SELECT {_KEYS}, num_units FROM scores SEMI JOIN (
            SELECT space, arch_id, images FROM scores WHERE num_units IS NOT NULL
            GROUP BY ALL HAVING min(num_units) < max(num_units)
        ) USING (space, arch_id, images)
    """,
    "another arch_id than the architectures have at this arch_index": """
        SELECT space, scores.arch_id, images, batch_size, seed, arch_index
        FROM scores JOIN architectures USING (space, arch_index) WHERE scores.arch_id <> architectures.arch_id
    """,
}

_POINTS: Final = """
    SELECT space, images, batch_size, seed, count(*), count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed')
    FROM scores GROUP BY ALL ORDER BY ALL
"""
