"""The card is true: its YAML, its lines of code and its numbers."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from naswot_ray import markdown
from naswot_ray.citation import Citation
from naswot_ray.dataset import runs
from naswot_ray.measures import own_measures
from naswot_ray.publish import card, measure_sections
from naswot_ray.publish.publish import publish
from naswot_ray.spaces.nasbench201 import NasBench201
from tests.dataset import making
from tests.dataset.making import FAILED, MEASURES, SPACE, TABLES, Row, add, make_dataset, mean_accuracy
from tests.publish.conftest import MECO_FAILED, make


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


def test_a_space_is_cited_by_its_own_publication(published: dict[str, Path]) -> None:
    (bibtex,) = blocks(published["own"], "bibtex")
    assert re.findall(r"^@\w+{(\w+),", bibtex, re.MULTILINE) == ["mellor2021naswot", "jiang2023meco", "dong2020nasbench201"]
    assert "No citation is known" not in body(published["own"])


def test_a_space_that_names_no_publication_is_cited_by_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NasBench201, "facts", None)
    publish(make(tmp_path / "d"), tmp_path / "out", include_accuracies=True)
    (bibtex,) = blocks(tmp_path / "out", "bibtex")
    assert re.findall(r"^@\w+{(\w+),", bibtex, re.MULTILINE) == ["mellor2021naswot", "jiang2023meco"]
    text = body(tmp_path / "out")
    assert text.endswith("```\n\nNo citation is known for `nasbench201`: ask whoever made it.\n")
    assert text.startswith("\n# Training-free scores of nasbench201\n")
    assert "this file's is not known; nor the benchmark's | not known |" in text


def test_a_measure_of_another_package_is_cited_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Citation(key="doe2026", title="A Measure", authors=("Doe, Jane",), venue="Journal of Measures", year=2026)
    known = dict(own_measures()) | {"meco": replace(own_measures()["meco"], citation=theirs)}
    monkeypatch.setattr(card, "all_measures", lambda: known)
    publish(make(tmp_path / "d"), tmp_path / "out")
    (bibtex,) = blocks(tmp_path / "out", "bibtex")
    assert re.findall(r"^@\w+{(\w+),", bibtex, re.MULTILINE) == ["mellor2021naswot", "doe2026", "dong2020nasbench201"]


def test_a_measure_that_names_no_publication_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(own_measures()) | {"meco": replace(own_measures()["meco"], citation=None)}
    monkeypatch.setattr(card, "all_measures", lambda: known)
    publish(make(tmp_path / "d"), tmp_path / "out")
    assert body(tmp_path / "out").endswith("```\n\nNo citation is known for `meco`: ask whoever made it.\n")


def test_the_first_thing_is_a_query_that_runs(published: dict[str, Path]) -> None:
    (query,) = blocks(published["own"], "sql")
    assert "avg(naswot)" in query
    assert body(published["own"]).split("\n\n")[1].startswith("```sql")
    assert "'hf://datasets/OWNER/NAME/data/" in query
    assert "WHERE images = 'noise' AND batch_size = 8 GROUP BY" in query, "averages over seeds alone"
    assert "HAVING count(naswot) = 2" in query, "architectures without a value at each seed do not compare"
    with duckdb.connect() as connection:
        rows = connection.execute(query.replace("hf://datasets/OWNER/NAME", str(published["own"]))).fetchall()
    means = [mean for _, mean in rows]
    assert means == [107.0, 106.0, 105.0, 104.0, 103.0, 100.0, -math.inf]


def test_the_first_thing_is_a_query_of_arrow_files_too(published: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    polars = pytest.importorskip("polars")
    monkeypatch.chdir(published["arrow"])
    names: dict[str, Any] = {"polars": polars}
    exec(blocks(published["arrow"], "python")[0], names)
    rows = names["rows"].collect()
    assert set(rows["images"]) == {"noise"}
    assert set(rows["batch_size"]) == {8}
    assert len(rows) == 14, "architectures and seeds, without the architecture that failed"
    (line,) = [line for line in blocks(published["arrow"], "python")[0].splitlines() if "top_k" in line]
    assert 'polars.col("naswot").mean()' in line
    best = eval(line, names)
    assert len(set(best["arch_id"])) == len(best) == 7, "means over seeds, an architecture once"
    assert best["naswot"].to_list()[0] == 107.0


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
    """What a library has loaded, as an Arrow table."""
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
    assert "32 rows of training-free scores of 8 architectures of NAS-Bench-201" in text
    assert "batch sizes 4 and 8, 2 seeds. Measures: naswot, naswot_paper and meco. 4 rows failed and have no value." in text
    assert "Some rows lack some of the measures; the card counts them." in text
    for batch_size in (4, 8):
        assert f"| nasbench201 | noise | {batch_size} | 8 | 2 | 16 | 12 | 2 | 2 |" in text
    assert (
        "Pearson's correlation of the finite values is 1.000 for `naswot`, 1.000 for `naswot_paper` and 1.000 for `meco`."
        in text
    )
    assert "Rows that failed: 4. Rows that runs were asked for and that are not there, or lack a measure: 0." in text
    assert "4 of 32 rows have a value that is -inf" in text
    assert not re.search(r"\$[a-z]|None|nan\b", text)


def section(folder: Path, name: str) -> str:
    """What the card says about a measure."""
    return body(folder).partition(f"\n### `{name}`\n")[2].partition("\n##")[0]


def test_every_measure_with_a_value_has_a_section_that_tells_what_it_is(published: dict[str, Path]) -> None:
    for name in ("naswot", "naswot_paper", "meco"):
        measure, text = own_measures()[name], section(published["own"], name)
        for told in (measure.formula, measure.source, measure.weak):
            assert markdown.escape(told) in text
        assert f"\n- Version {MEASURES[name]}.\n" in text
    assert own_measures()["meco"].differs in section(published["own"], "meco")
    assert "Figures published of that code are not figures of this column." in section(published["own"], "meco")
    assert "It is defined as in the published code." in section(published["own"], "naswot")
    assert "agree within 0.001 or 0.1 % of the value, whichever is more, in float32." in section(published["own"], "meco")


def test_a_measure_without_any_value_has_no_section_and_no_figure(published: dict[str, Path]) -> None:
    text, found = body(published["own"]), front_matter(published["own"])
    assert "No row has a value of `expressivity`, `naswot_layerwise` and `swap`" in text
    for name in ("expressivity", "naswot_layerwise", "swap"):
        assert f"### `{name}`" not in text
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        assert line.endswith("; no row of this dataset has a value |")
        assert name not in found["tags"]
    assert {"naswot", "meco"} <= set(found["tags"])


def test_rows_without_a_value_are_counted_with_the_reason(published: dict[str, Path]) -> None:
    text = section(published["own"], "meco")
    told = (
        "19 of 32 rows have no value, 4 because the whole row failed, 1 because this measure failed alone and 14 because no run"
    )
    assert told in text
    assert "\n- RuntimeError: no (4 rows)\n" in text
    assert f"\n- {MECO_FAILED} (1 row)\n" in text
    assert "| nasbench201 | noise | 4 | 0 | 0 | 0 | 2 | 0 | 14 |  |  |  |  |" in text
    assert "| nasbench201 | noise | 8 | 2 | 13 | 0 | 2 | 1 | 0 | 3 | 7 | 11 | 1.000 |" in text
    assert "| nasbench201 | noise | 8 | 2 | 14 | 2 | 2 | 0 | 0 | 100 | 104.5 | 107 | 1.000 |" in section(
        published["own"], "naswot"
    )


def test_examples_are_of_the_first_measure_with_values_where_naswot_has_none(tmp_path: Path) -> None:
    no_naswot: Row = {"naswot": None, "naswot_paper": None}
    dataset = make_dataset(tmp_path / "d", change=lambda row: no_naswot | {"swap": 5.0, "meco": float(row["arch_index"])})
    publish(dataset, tmp_path / "out")
    assert "SELECT arch_id, avg(meco) AS mean" in body(tmp_path / "out")
    assert "In the literature NASWOT is weak" not in body(tmp_path / "out")
    assert "mellor" not in body(tmp_path / "out")
    assert "jiang2023meco" in body(tmp_path / "out")


def test_a_dataset_of_failed_rows_alone_has_a_card(tmp_path: Path) -> None:
    publish(make_dataset(tmp_path / "d", change=lambda row: FAILED), tmp_path / "out")
    text = body(tmp_path / "out")
    assert "No row has a value of any measure. 8 rows failed and have no value." in text
    (query,) = blocks(tmp_path / "out", "sql")
    with duckdb.connect() as connection:
        assert connection.execute(query.replace("hf://datasets/OWNER/NAME", str(tmp_path / "out"))).fetchall()


def test_a_measure_of_a_package_that_is_not_installed_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "d", change=lambda row: {"meco": 1.0})
    known = {name: measure for name, measure in own_measures().items() if name != "meco"}
    monkeypatch.setattr(measure_sections, "all_measures", lambda: known)
    publish(dataset, tmp_path / "out")
    text = section(tmp_path / "out", "meco")
    assert "Version 1 of a measure that another package offers. It was not installed where this was published" in text


@pytest.mark.parametrize(
    ("dtype", "told"),
    [
        ("float32", "agree within 0.001 or 0.1 % of the value, whichever is more, in float32."),
        ("bfloat16", "agree within 0.2 or 20 % of the value, whichever is more, in bfloat16."),
    ],
)
def test_the_tolerance_is_that_of_the_dtype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, told: str) -> None:
    of_float32 = making.settings
    monkeypatch.setattr(
        making, "settings", lambda source=None: of_float32(source).model_copy(update={"values": {"dtype": dtype}})
    )
    publish(make_dataset(tmp_path / "d", change=lambda row: {"meco": 1.0, "dtype": dtype}), tmp_path / "out")
    assert told in section(tmp_path / "out", "meco")


def test_a_newer_description_is_not_taken_for_that_of_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = dict(own_measures()) | {"naswot": replace(own_measures()["naswot"], version=3)}
    monkeypatch.setattr(measure_sections, "all_measures", lambda: newer)
    publish(make_dataset(tmp_path / "d"), tmp_path / "out")
    text = section(tmp_path / "out", "naswot")
    assert "- Version 1. The description is that of version 3, which the program that published this computes." in text


def test_texts_of_records_and_file_names_are_shown_as_they_are(tmp_path: Path) -> None:
    failed: Row = {"status": "failed", "naswot": None, "naswot_paper": None, "num_units": None, "error": "<img src=y>|[a](b)"}
    dataset = make_dataset(tmp_path / "d", change=lambda row: failed if row["arch_index"] == 3 else {})
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
