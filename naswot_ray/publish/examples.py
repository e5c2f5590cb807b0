"""Lines that load what has been published, in each of the libraries that people use."""

from __future__ import annotations

from naswot_ray.publish.compaction import FileFormat
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.quality import REAL_IMAGES

UNKNOWN_REPOSITORY = "OWNER/NAME"
"""Stands for the repository on the Hub while nobody has said which it is."""


def first_query(contents: Contents) -> str:
    """A line that gives rows without a download: the best of one space."""
    table = contents.tables[0]
    groups = [group for group in contents.quality.groups if group.space == table.space]
    images, batch_size = max(((group.images, group.batch_size) for group in groups), key=lambda g: (g[0] in REAL_IMAGES, g[1]))
    if contents.format is FileFormat.ARROW:
        return f"""```python
rows = polars.scan_ipc("{contents.pattern_of(table)}").filter(images="{images}", batch_size={batch_size})
rows.group_by("arch_id").agg(polars.col("score").mean()).top_k(10, by="score").collect()
```
"""
    where = f"hf://datasets/{contents.repository or UNKNOWN_REPOSITORY}/{contents.pattern_of(table)}"
    chosen = f"images = '{images}' AND batch_size = {batch_size}"
    return f"""```sql
SELECT arch_id, avg(score) AS score FROM '{where}' WHERE {chosen} GROUP BY ALL ORDER BY score DESC LIMIT 10;
```

That is DuckDB, which reads only the columns and rows it needs. In a download, leave out everything before `data/`.
"""


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
