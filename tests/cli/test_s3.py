"""Every command works if everything is in a bucket of a real S3 server."""

from __future__ import annotations

import gzip
import shlex
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import verification
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.storage import Storage
from tests import s3
from tests.cli.conftest import MAP, write_images
from tests.cli.running import naswot, prints
from tests.datasets import logical_architectures, logical_rows, score_here

GRID = ("--limit", 4, "--batch-size", 4, "--seed", 0, "--seed", 1, "--shard-size", 2)


@pytest.fixture
def root(s3_proxy: s3.Proxy, bucket: str) -> str:
    """The prefix of a dataset, reached through the proxy."""
    return s3.uri(bucket, "my/scores", s3_proxy.port)


def test_from_scores_to_a_query(root: str, tmp_path: Path, accuracies: Path, s3_server: s3.S3Server, bucket: str) -> None:
    first = prints("score", "-o", root, "--in-process", "--limit", 2, *GRID[2:])
    assert "4 rows scored" in first
    s3_server.put(bucket, "tables/accuracies.csv", accuracies.read_bytes())
    table = s3.uri(bucket, "tables/accuracies.csv", s3_server.port)
    printed = prints("score", "-o", root, "--in-process", *GRID, "--accuracies", table, *MAP)
    assert "4 rows scored" in printed
    assert "8 joined rows, 4 architectures matched" in printed
    assert f"dataset: {root}" in printed
    assert f"  all of these: s3://{bucket}/my/scores/unmatched/nasbench201.csv" in printed
    assert "nothing to do" in prints("score", "-o", root, "--in-process", *GRID)

    score_here(tmp_path / "local", limit=4, batch_size=[4], seed=[0, 1], shard_size=2)
    assert logical_rows(root) == logical_rows(tmp_path / "local")
    assert logical_architectures(root) == logical_architectures(tmp_path / "local")
    assert {
        path for path in s3_server.objects(bucket) if not {"joined", "unmatched", "accuracies", "tables"} & set(path.split("/"))
    } == {
        "my/scores/dataset.json",
        *(f"my/scores/{file}" for file in ("runs/" + Path(record.run_id + ".json").name for record in Dataset(root).runs)),
        *(f"my/scores/architectures/part-nasbench201.00000{i}.parquet" for i in range(2)),
        *(
            f"my/scores/scores/part-nasbench201.noise.batch-4.seed-{seed}.00000{i}.parquet"
            for seed in range(2)
            for i in range(2)
        ),
    }

    assert "complete" in prints("info", root)
    assert "8 joined rows" in prints("join", root)
    sql = "SELECT count(*) AS n, count(DISTINCT arch_id) AS m FROM joined JOIN scores USING (space, arch_id, seed)"
    assert prints("query", root, sql).split() == ["n,m", "8,4"]
    prints("query", root, sql, "-o", s3.uri(bucket, "tables/n.csv.gz", s3_server.port))
    assert gzip.decompress(s3_server.objects(bucket)["tables/n.csv.gz"]) == b"n,m\n8,4\n"
    make_older = prints("score", "-o", root, "--in-process", "--limit", 5, *GRID[2:])
    assert "nasbench201: the join is older than the scores and architectures (files to be made again: 2)" in make_older
    assert f"run `naswot-ray join {shlex.quote(root)} --space nasbench201` again" in prints("info", root)


def test_scoring_and_joining_delete_nothing(root: str, s3_proxy: s3.Proxy, accuracies: Path) -> None:
    """The nodes of a cluster therefore get no permission to delete (cluster/aws/bucket.json)."""
    s3_proxy.fault = lambda request: s3.Answer(status=403) if request.method == "DELETE" else None
    for limit in (2, 3):  # the second run writes one part again
        prints("score", "-o", root, "--in-process", "--limit", limit, *GRID[2:], "--accuracies", accuracies, *MAP)
    assert "6 joined rows" in prints("join", root)
    damaged = Dataset(root).files("scores")[0].path
    storage = Storage(root)
    storage.write_bytes(damaged, storage.read_bytes(damaged)[:-100])
    result = naswot("score", "-o", root, "--in-process", "--limit", 3, *GRID[2:])
    assert result.exit_code == 0, result.output
    assert f"{damaged} is not a whole Parquet file: moved to removed/" in result.stderr
    assert Dataset(root).scores.count_rows() == 3 * 2
    assert s3_proxy.count("DELETE") == 0
    assert s3_proxy.count("PUT") > 0


def test_a_query_reads_the_parts_it_needs_and_lists_once(root: str, s3_proxy: s3.Proxy) -> None:
    prints("score", "-o", root, "--in-process", *GRID)
    with Dataset(root).connect() as connection:
        s3_proxy.requests.clear()
        assert connection.sql("SELECT count(arch_id) FROM scores WHERE seed = 1 AND batch_size = 4").fetchall() == [(4,)]
    assert {request.key.rpartition("batch-4.")[2] for request in s3_proxy.requests} == {
        "seed-1.000000.parquet",
        "seed-1.000001.parquet",
    }
    s3_proxy.requests.clear()
    assert Dataset(root).scores.schema.names
    assert [request.key.rpartition("my/scores/")[2] for request in s3_proxy.requests if request.is_listing] == ["scores/"]


def test_accuracies_of_a_bucket(root: str, accuracies: Path, s3_server: s3.S3Server, bucket: str) -> None:
    prints("score", "-o", root, "--in-process", *GRID)
    s3_server.put(bucket, "table.parquet", accuracies.with_suffix(".parquet").read_bytes())
    table = s3.uri(bucket, "table.parquet", s3_server.port)
    assert "10 rows from table.parquet" in prints("accuracies", "nasbench201", table, "--dataset", root, *MAP)
    assert "accuracies nasbench201: cifar10 test after 200 epochs, 10 architectures" in prints("info", root)


def test_the_result_of_a_query_goes_to_a_bucket(root: str, tmp_path: Path, s3_server: s3.S3Server, bucket: str) -> None:
    prints("score", "-o", root, "--in-process", *GRID)
    out = s3.uri(bucket, "results/best.parquet", s3_server.port)
    sql = "SELECT arch_index, naswot FROM scores ORDER BY ALL"
    assert prints("query", root, sql, "--format", "parquet", "-o", out) == ""
    (tmp_path / "best.parquet").write_bytes(s3_server.objects(bucket)["results/best.parquet"])
    assert pq.read_table(tmp_path / "best.parquet").column_names == ["arch_index", "naswot"]
    again = naswot("query", root, sql, "--format", "parquet", "-o", out)
    shown = out.partition("?")[0]
    assert (again.exit_code, again.stderr) == (2, f"error: {shown} exists; name another file or remove it\n")


def test_images_of_a_bucket(root: str, tmp_path: Path, s3_server: s3.S3Server, bucket: str) -> None:
    data = write_images(tmp_path / "data", seed=0)
    for file in data.iterdir():
        s3_server.put(bucket, f"images/{file.name}", file.read_bytes())
    options = ("--in-process", "--limit", 2, "--batch-size", 4, "--images", "cifar10", "--data")
    prints("score", "-o", root, *options, s3.uri(bucket, "images", s3_server.port))
    prints("score", "-o", tmp_path / "local", *options, data)
    assert logical_rows(root) == logical_rows(tmp_path / "local")


def test_the_duckdb_line_says_what_duckdb_needs(root: str, bucket: str, s3_proxy: s3.Proxy) -> None:
    printed = prints("score", "-o", root, "--in-process", *GRID)
    how, line = printed.splitlines()[-2:]
    assert how == "Continue in DuckDB (it downloads its httpfs extension; `CREATE SECRET` gives it credentials):"
    setup, _, select = line.partition("; SELECT")
    assert setup == (
        "INSTALL httpfs; LOAD httpfs; CREATE SECRET (TYPE s3, PROVIDER credential_chain, REGION 'us-east-1', "
        f"ENDPOINT '127.0.0.1:{s3_proxy.port}', URL_STYLE 'path', USE_SSL false)"
    )
    assert f"read_parquet('s3://{bucket}/my/scores/scores/part-*.parquet', hive_partitioning=false)" in select
    assert len(duckdb.extract_statements(line)) == 4


@pytest.mark.parametrize("prefix", ["seed=7/d", "batch_size=32/images=cifar10", "a b/50%25/d", "d%23e/ü", "back%5Cslash/d"])
def test_any_prefix(s3_server: s3.S3Server, bucket: str, tmp_path: Path, prefix: str) -> None:
    """The same holds for any folder on a disk (tests/dataset/test_wherever.py). A URI is percent-encoded."""
    root = s3.uri(bucket, prefix, s3_server.port)
    prints("score", "-o", root, "--in-process", *GRID)
    prints("score", "-o", tmp_path / "d", "--in-process", *GRID)
    assert all(key.startswith(f"{unquote(prefix)}/") for key in s3_server.objects(bucket))
    sql = "SELECT images, batch_size, seed, count(*) AS n, max(naswot) AS best FROM scores GROUP BY ALL ORDER BY ALL"
    assert prints("query", root, sql) == prints("query", tmp_path / "d", sql)
    assert logical_rows(root) == logical_rows(tmp_path / "d")
    assert prints("info", root).splitlines()[-1] == "complete"
    assert "nothing is missing" in prints("check", root)


def test_a_bucket_that_is_not_there(s3_server: s3.S3Server) -> None:
    root = s3.uri("nowhere-at-all", "scores", s3_server.port)
    for arguments in (("score", "--in-process", *GRID, "-o", root), ("info", root), ("query", root, "SELECT 1")):
        result = naswot(*arguments)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert "nowhere-at-all" in result.stderr


def test_storage_that_fails_while_it_is_read(root: str, s3_proxy: s3.Proxy) -> None:
    prints("score", "-o", root, "--in-process", *GRID)
    denied = [s3.Answer(status=403)]
    s3_proxy.fault = lambda request: denied.pop() if denied and request.key.endswith(".000000.parquet") else None
    result = naswot("query", root, "SELECT sum(naswot) FROM scores")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: cannot read {root.partition('?')[0]}/scores/part-")
    assert ".000000.parquet: AWS Error ACCESS_DENIED" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_resume_asks_as_often_for_many_parts_as_for_few(
    s3_proxy: s3.Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that have been verified before cost no request: 100,000 parts take 100 pages of listing."""
    monkeypatch.setattr(verification, "SETTLED_SECONDS", -600)
    counts = []
    for prefix, limit in (("few", 2), ("many", 20)):
        root = s3.uri(bucket, prefix, s3_proxy.port)
        options = {"limit": limit, "batch_size": [2], "seed": [0, 1], "shard_size": 1}
        assert score_here(root, **options).counts["rows"] == 2 * limit
        s3_proxy.requests.clear()
        assert score_here(root, **options).counts["rows"] == 0
        assert not [request for request in s3_proxy.requests if "part-" in request.key]
        counts.append(len(s3_proxy.requests))
    assert counts[0] == counts[1] < 40


def test_check_and_repair(root: str, s3_server: s3.S3Server, bucket: str) -> None:
    options = {"limit": 4, "batch_size": [4], "seed": [0], "shard_size": 2}
    score_here(root, **options)
    rows = logical_rows(root)
    assert "nothing is missing" in prints("check", root)
    key = next(key for key in s3_server.objects(bucket) if "/scores/part-" in key)
    s3_server.put(bucket, key, s3_server.objects(bucket)[key][:-1])
    result = naswot("check", root, "--repair")
    assert result.exit_code == 1
    assert f"removed: {key.removeprefix('my/scores/')}" in result.stdout
    assert "2 rows missing" in result.stdout
    score_here(root, **options)
    assert logical_rows(root) == rows
    assert "removed/ holds 1 file, " in prints("check", root)
    assert "deleted from removed/: 1 file, " in prints("check", root, "--purge")
    assert not any("/removed/" in key and not key.endswith("/") for key in s3_server.objects(bucket))


def test_a_damaged_part_is_set_aside_by_a_run(root: str, s3_server: s3.S3Server, bucket: str) -> None:
    options = {"limit": 4, "batch_size": [4], "seed": [0], "shard_size": 2}
    score_here(root, **options)
    rows = logical_rows(root)
    key = next(key for key in s3_server.objects(bucket) if "/scores/part-" in key)
    damaged = s3_server.objects(bucket)[key][:-1]
    s3_server.put(bucket, key, damaged)
    assert score_here(root, **options).counts["rows"] == 2
    assert logical_rows(root) == rows
    assert [content for name, content in s3_server.objects(bucket).items() if "/removed/" in name and "part-" in name] == [
        damaged
    ]


SECRET = "s3://AKIA123:wJalr@bucket/x"


@pytest.mark.parametrize(
    "options",
    [
        ("-o", SECRET),
        ("-o", "d", "--images", "cifar10", "--data", SECRET),
        ("-o", "d", "--accuracies", SECRET),
        ("-o", "d", "--space", "nds_darts", "--space-option", f"source={SECRET}"),
    ],
)
def test_a_key_in_a_uri_is_refused_and_not_shown(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = naswot("score", "--in-process", "--limit", 1, *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "s3://bucket/x: credentials do not belong in a URI" in result.stderr
    assert not any(text in result.stderr for text in ("AKIA123", "wJalr"))
    assert list(tmp_path.iterdir()) == []
