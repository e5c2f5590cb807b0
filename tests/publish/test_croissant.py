"""croissant.json is valid Croissant 1.1, has the fields of responsible AI, and leads to the rows."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.dataset.making import SPACE

mlcroissant = pytest.importorskip("mlcroissant")

pytestmark = [  # warnings of these packages about each other
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index"),
]


@pytest.mark.parametrize("name", ["own", "all", "arrow"])
def test_it_is_valid(published: dict[str, Path], name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(str(published[name] / "croissant.json"))
    assert found.metadata.ctx.issues.errors == set()
    assert found.metadata.ctx.issues.warnings == set()
    assert caplog.records == []
    assert found.metadata.ctx.is_v1_1()


def test_every_file_has_its_digest_and_size(published: dict[str, Path]) -> None:
    described = json.loads((published["all"] / "croissant.json").read_text())
    files = {entry["contentUrl"]: entry for entry in described["distribution"] if entry["@type"] == "cr:FileObject"}
    on_disk = {str(path.relative_to(published["all"])): path for path in (published["all"] / "data").rglob("*.parquet")}
    assert files.keys() == on_disk.keys()
    for name, path in on_disk.items():
        assert files[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert files[name]["contentSize"] == f"{path.stat().st_size} B"


def test_the_responsible_ai_fields_are_there(published: dict[str, Path]) -> None:
    metadata = mlcroissant.Dataset(str(published["own"] / "croissant.json")).metadata
    assert "http://mlcommons.org/croissant/RAI/1.0" in metadata.conforms_to
    for value in (
        *(metadata.data_collection, metadata.data_biases, metadata.data_limitations, metadata.data_use_cases),
        *(metadata.data_social_impact, metadata.personal_sensitive_information, metadata.data_collection_timeframe),
    ):
        assert value
    described = json.loads((published["own"] / "croissant.json").read_text())
    assert described["rai:hasSyntheticData"] is True, "noise"
    assert {"prov:wasDerivedFrom", "prov:wasGeneratedBy"} <= described.keys()


def test_it_leads_to_the_rows(published: dict[str, Path]) -> None:
    described = mlcroissant.Dataset(str(published["own"] / "croissant.json"))
    records = list(described.records(f"{SPACE}_architectures"))
    expected = pq.read_table(next((published["own"] / "data" / SPACE).glob("architectures-*")))
    column = f"{SPACE}_architectures/arch_id"
    assert [record[column].decode() for record in records] == expected["arch_id"].to_pylist()
