"""Lines that load what has been published, in each of the libraries that people use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from naswot_ray.analysis.summary import MAIN_MEASURE, main_measure
from naswot_ray.dataset.sql import quoted
from naswot_ray.measures import own_measures
from naswot_ray.publish.compaction import FileFormat
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.rank_agreement import REAL_IMAGES

UNKNOWN_REPOSITORY: Final = "OWNER/NAME"
"""Stands for the repository on the Hub while nobody has said which it is."""


@dataclass(frozen=True)
class _Chosen:
    """The rows that the first query ranks.

    Attributes:
        measure: that it ranks by.
        images, batch_size: at which.
        num_seeds: seeds that every architecture has to have a value at, for its mean to compare with others'; None if all have.
    """

    measure: str
    images: str
    batch_size: int
    num_seeds: int | None


def first_query(contents: Contents) -> str:
    """A line that gives rows without a download: the best of one space."""
    table = contents.tables[0]
    chosen = _choose(contents, table.space)
    if contents.format is FileFormat.ARROW:
        column = f'polars.col("{chosen.measure}")'
        seeds = "" if chosen.num_seeds is None else f'.filter({column}.count().over("arch_id") == {chosen.num_seeds})'
        where = f'images="{chosen.images}", batch_size={chosen.batch_size}'
        return f"""```python
rows = polars.scan_ipc("{contents.pattern_of(table)}").filter({where}){seeds}
rows.group_by("arch_id").agg({column}.mean()).top_k(10, by="{chosen.measure}").collect()
```
"""
    file = f"hf://datasets/{contents.repository or UNKNOWN_REPOSITORY}/{contents.pattern_of(table)}"
    column = chosen.measure if chosen.measure in own_measures() else quoted(chosen.measure)
    having = "" if chosen.num_seeds is None else f" HAVING count({column}) = {chosen.num_seeds}"
    return f"""```sql
SELECT arch_id, avg({column}) AS mean FROM '{file}'
WHERE images = '{chosen.images}' AND batch_size = {chosen.batch_size} GROUP BY arch_id{having} ORDER BY mean DESC LIMIT 10;
```

That is DuckDB, which reads only the columns and rows it needs. In a download, leave out everything before `data/`.
"""


def _choose(contents: Contents, space: str) -> _Chosen:
    """The largest batches of real images, if there are any, that the measure has values of."""
    counts = [count for count in contents.quality.measures if count.space == space and count.num_values]
    measure = main_measure(count.measure for count in counts)
    if measure is None:  # every row failed
        group = next(group for group in contents.quality.groups if group.space == space)
        return _Chosen(MAIN_MEASURE, group.images, group.batch_size, None)
    count = max((c for c in counts if c.measure == measure), key=lambda c: (c.images in REAL_IMAGES, c.batch_size))
    has_all = not (count.num_failed or count.num_failed_alone or count.num_not_computed)
    return _Chosen(measure, count.images, count.batch_size, None if has_all else count.num_seeds)


def loading(contents: Contents) -> str:
    """A block of Python that loads the first table in five libraries, from the folder of the download."""
    table = contents.tables[0]
    pattern = contents.pattern_of(table)
    if contents.format is FileFormat.ARROW:
        lines = [
            "import glob, os",
            "",
            "import datasets, pandas, polars, pyarrow, pyarrow.dataset",
            "",
            f'datasets.load_dataset(os.getcwd(), "{table.config}", split="train")  # or the name of the repository',
            f'pandas.concat(map(pandas.read_feather, sorted(glob.glob("{pattern}"))))',
            f'polars.scan_ipc("{pattern}")  # memory-mapped',
            f'pyarrow.dataset.dataset(sorted(glob.glob("{pattern}")), format="ipc")',
            "",
            f'with pyarrow.memory_map("{contents.files_of(table)[0].path}") as file:  # no copy in memory',
            "    rows = pyarrow.ipc.open_file(file).read_all()",
        ]
    else:
        lines = [
            "import glob, os",
            "",
            "import datasets, duckdb, pandas, polars, pyarrow.dataset",
            "",
            f'datasets.load_dataset(os.getcwd(), "{table.config}", split="train")  # or the name of the repository',
            f"duckdb.sql(\"SELECT * FROM '{pattern}'\")",
            f'pandas.concat(map(pandas.read_parquet, sorted(glob.glob("{pattern}"))))',
            f'polars.scan_parquet("{pattern}")',
            f'pyarrow.dataset.dataset(sorted(glob.glob("{pattern}")))',
        ]
    return "\n".join(["```python", *lines, "```"])
