"""The card: its YAML, its lines of code and its numbers are true."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from naswot_ray.dataset import runs
from naswot_ray.publish.publish import publish
from tests.dataset.making import SPACE, TABLES, add, make_dataset, mean_accuracy


def front_matter(folder: Path) -> dict[str, Any]:
    found = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert isinstance(found, dict)
    return found


def body(folder: Path) -> str:
    return (folder / "README.md").read_text().split("---\n", 2)[2]


def blocks(folder: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", body(folder), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["own", "all", "arrow"])
def test_the_configs_are_the_files(published: dict[str, Path], name: str) -> None:
    folder = published[name]
    found = {}
    for config in front_matter(folder)["configs"]:
        (split,) = config["data_files"]
        assert split["split"] == "train"
        found[config["config_name"]] = list(folder.glob(split["path"]))
    tables = ["scores", "architectures"] if name == "own" else list(TABLES)
    assert list(found) == [SPACE if table == "scores" else f"{SPACE}_{table}" for table in tables]
    assert sorted(path for paths in found.values() for path in paths) == sorted((folder / "data").rglob("*.*"))


def test_the_licence_is_mit_until_others_numbers_are_in_it(published: dict[str, Path]) -> None:
    assert front_matter(published["own"])["license"] == "mit"
    assert front_matter(published["all"])["license"] == "other"


def test_the_first_thing_is_a_query_that_runs(published: dict[str, Path]) -> None:
    (query,) = blocks(published["own"], "sql")
    assert body(published["own"]).split("\n\n")[1].startswith("```sql")
    assert "'hf://datasets/OWNER/NAME/data/" in query
    assert "WHERE images = 'noise' AND batch_size = 8 GROUP BY" in query, "averages over seeds alone"
    with duckdb.connect() as connection:
        rows = connection.execute(query.replace("hf://datasets/OWNER/NAME", str(published["own"]))).fetchall()
    scores = [score for _, score in rows]
    assert len(rows) == 8
    assert scores[0] is None or max(s for s in scores if s is not None) == 107.0


def test_the_first_thing_is_a_query_of_arrow_files_too(published: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    polars = pytest.importorskip("polars")
    monkeypatch.chdir(published["arrow"])
    names: dict[str, Any] = {"polars": polars}
    exec(blocks(published["arrow"], "python")[0], names)
    rows = names["rows"].collect()
    assert set(rows["images"]) == {"noise"}
    assert set(rows["batch_size"]) == {8}
    assert len(rows) == 16, "architectures and seeds"
    (line,) = [line for line in blocks(published["arrow"], "python")[0].splitlines() if "top_k" in line]
    best = eval(line, names)
    assert len(set(best["arch_id"])) == len(best) == 8, "means over seeds, an architecture once"


@pytest.mark.parametrize("name", ["own", "arrow"])
def test_the_lines_that_load_it_run(
    published: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in ("datasets", "pandas", "polars"):
        pytest.importorskip(package)
    import datasets  # noqa: PLC0415
    import pandas  # noqa: PLC0415
    import polars  # noqa: PLC0415

    monkeypatch.chdir(published[name])
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    code = [block for block in blocks(published[name], "python") if "load_dataset" in block]
    names: dict[str, Any] = {}
    expected = pq.read_table(next((published["own"] / "data" / SPACE).glob("scores-*"))).replace_schema_metadata(None)
    num_loaded = 0
    (block,) = code
    for line in block.splitlines():
        with contextlib.suppress(SyntaxError):
            loaded = eval(line, names)
            num_loaded += 1
            if isinstance(loaded, polars.LazyFrame):
                loaded = loaded.collect()
            if isinstance(loaded, pandas.DataFrame):
                assert loaded["arch_id"].tolist() == expected["arch_id"].to_pylist()
                assert loaded["naswot"].notna().sum() == 28
            else:
                found = rows_of(loaded)
                assert found.num_rows == expected.num_rows
                assert same(found["naswot"].to_pylist(), expected["naswot"].to_pylist())
                assert found.column_names == expected.column_names
                assert found["error"].type in (pa.string(), pa.large_string(), pa.string_view())
            continue
        if not line.startswith(" "):
            whole = line if not line.endswith(":  # no copy in memory") else "\n".join(block.splitlines()[-2:])
            exec(whole, names)
    assert num_loaded == (4 if name == "arrow" else 5)
    if name == "arrow":
        assert names["rows"].replace_schema_metadata(None).equals(expected)


def rows_of(loaded: Any) -> pa.Table:
    """What a library loaded, as Arrow."""
    if hasattr(loaded, "to_arrow_table"):
        return loaded.to_arrow_table()
    if hasattr(loaded, "to_arrow"):
        return loaded.to_arrow()
    return loaded.data.table if hasattr(loaded, "data") else loaded.to_table()


def same(a: list[float | None], b: list[float | None]) -> bool:
    return all(x == y or (x is not None and y is not None and math.isclose(x, y)) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_in_the_card(published: dict[str, Path], table: str) -> None:
    section = body(published["all"]).partition(f"\n### {table}\n")[2].partition("\n#")[0]
    for field in TABLES[table]:
        assert f"| `{field.name}` | {field.type}" in section


def test_the_numbers_are_those_of_the_data(published: dict[str, Path]) -> None:
    text = body(published["own"])
    assert "32 training-free NASWOT scores of 8 architectures of NAS-Bench-201" in text
    assert "batch sizes 4 and 8, 2 seeds." in text
    for batch_size in (4, 8):
        assert f"| nasbench201 | noise | {batch_size} | 8 | 2 | 16 | 12 | 2 | 2 | 100.0 | 104.5 | 107.0 | 1.000 |" in text
    assert "2 seeds. 4 rows of these failed and have no score." in text
    assert "| lowest score | median score | highest score | seed to seed |" in text
    assert "between the two lowest seeds it correlates by 1.000 (Pearson" in text
    assert "Rows that failed: 4. Rows that runs were asked for and are not there: 0." in text
    assert "4 of 32 scores are -inf" in text
    assert not re.search(r"\$[a-z]|None|nan\b", text)


def test_texts_of_records_and_file_names_are_shown_as_they_are(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i) for i in range(8)], source="<img src=x onerror=alert(1)>|`.csv")
    (record,) = dataset.runs
    hostile = "<script>alert(1)</script>|\n```\n# Title\x1b[2J"
    changes = {
        "options": {
            "sample": 8,
            "images": hostile,
            "engine": None,
            "unknown": "s3cret",
            "output": "/home/me",
            "space_option": [],
        },
        "versions": {"torch": hostile},
        "hardware": {"processor": hostile},
    }
    runs.write(dataset.storage, record.model_copy(update=changes))
    publish(dataset, tmp_path / "out", include_accuracies=True)
    text = body(tmp_path / "out")
    (commands,) = re.findall(r"^````bash\n(.*?)^````$", text, re.MULTILINE | re.DOTALL)
    assert shlex.split(commands)[:2] == ["naswot-ray", "score"]
    outside = text.replace(commands, "")
    assert "<script" not in outside
    assert "<img" not in outside
    assert "\n# Title" not in outside
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\| \\`\\`\\` # Title\\\\x1b[2J" in outside
    assert "\x1b" not in text
    told = (tmp_path / "out" / "provenance.json").read_text()
    assert '"sample": 8' in told
    assert not any(word in told for word in ("unknown", "s3cret", "/home/me"))
