"""A seal covers every byte of a file, and the path of the file."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import layout, seal
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.errors import DatasetError
from tests.dataset.making import SPACE, TABLES, add, make_dataset, mean_accuracy

PART = layout.scores(SPACE, "noise", 4, 0, 0)
JOINED = layout.joined(SPACE, "noise", 4, 0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = make_dataset(tmp_path / "d")
    add(made, [mean_accuracy(i) for i in range(8)])
    join(made, SPACE)
    return made


def path_of(dataset: Dataset, table: str) -> PurePosixPath:
    return dataset.files(table)[0].path


def refusal(dataset: Dataset, path: PurePosixPath) -> str:
    with pytest.raises(BrokenSealError) as caught, dataset.storage.open_parquet(path):
        pass
    message = str(caught.value)
    assert message.startswith(dataset.storage.path(path))
    assert "naswot-ray check" in message
    assert "\n" not in message
    return caught.value.reason


@pytest.mark.parametrize("table", ["scores", "joined", "accuracies"])
def test_any_byte_that_flips_is_refused(dataset: Dataset, table: str) -> None:
    path = path_of(dataset, table)
    file = Path(dataset.storage.path(path))
    data, generator = file.read_bytes(), random.Random(table)
    places = {generator.randrange(len(data)) for _ in range(300)} | {0, 4, len(data) - 5, len(data) - 1}
    for place in places:
        file.write_bytes(data[:place] + bytes([data[place] ^ 1 << generator.randrange(8)]) + data[place + 1 :])
        refusal(dataset, path)
    file.write_bytes(data)
    assert dataset.scores.count_rows() == 8


@pytest.mark.parametrize("table", TABLES)
def test_what_is_damaged_is_not_shown(dataset: Dataset, table: str) -> None:
    path = path_of(dataset, table)
    file = Path(dataset.storage.path(path))
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x10
    file.write_bytes(data)
    for use in (lambda: getattr(dataset, table), dataset.connect):
        with pytest.raises(DatasetError, match=re.escape(str(file))):
            use()


def test_a_file_of_another_program_has_no_seal(dataset: Dataset) -> None:
    file = Path(dataset.storage.path(PART))
    pq.write_table(pq.ParquetFile(file).read().replace_schema_metadata(None), file)
    assert refusal(dataset, PART).startswith("has no seal")


def test_a_copy_says_what_it_is_a_copy_of(dataset: Dataset) -> None:
    other = layout.scores(SPACE, "noise", 4, 0, 1)
    shutil.copy(dataset.storage.path(PART), dataset.storage.path(other))
    assert refusal(dataset, other) == f"is a copy of {PART}"


def test_rows_that_look_like_a_seal_do_not_matter(tmp_path: Path) -> None:
    text = (seal.DIGEST_KEY + b"\x18\x40" + b"0" * 64 + seal.PATH_KEY + b"\x18\x01x").decode()
    table = pa.table({"a": [text]})
    path = PurePosixPath("a/" + "long" * 60 + ".parquet")
    data = seal.sealed(table.schema, [table], lambda: path)
    assert seal.verify(data, path) == pq.ParquetFile(pa.BufferReader(data)).metadata.metadata[seal.DIGEST_KEY].decode()


def test_rows_of_a_sealed_file_can_be_written_to_another(dataset: Dataset) -> None:
    with dataset.storage.open_parquet(PART) as file:
        table = file.read()
    other = layout.scores(SPACE, "noise", 4, 0, 7)
    dataset.storage.write_table(other, table)
    with dataset.storage.open_parquet(other) as file:
        assert file.read() == table


def test_the_digest_is_that_of_the_file_with_zeros_in_its_place(dataset: Dataset) -> None:
    data = Path(dataset.storage.path(PART)).read_bytes()
    digest = seal.verify(data, PART)
    assert hashlib.sha256(data.replace(digest.encode(), b"0" * 64)).hexdigest() == digest
