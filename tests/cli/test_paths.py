"""Every path option takes a path or a URI, expands `~`, and is wary of relative paths inside a Ray job."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import typer

import naswot_ray
from naswot_ray.cli import app
from naswot_ray.cli.app import path_options
from naswot_ray.errors import SettingsError
from naswot_ray.paths import PathOption, expand_home, is_in_job
from naswot_ray.run.options import ScoreOptions
from tests import s3
from tests.cli.conftest import MAP, write_images
from tests.cli.running import check_refusal, naswot, prints, refuses
from tests.datasets import score_here
from tests.faults.processes import ROOT
from tests.report.pages import make_joined
from tests.spaces.nds_files import ANYNET, nds_record, write_nds_json

COMMANDS: Final = typer.main.get_command(app).commands  # type: ignore[attr-defined]
CALLBACKS: Final = {info.name or "": info.callback for info in app.registered_commands if info.callback is not None}
PATHS: Final = [
    pytest.param(command, parameter, label, path, id=f"{command} {label}")
    for command, callback in CALLBACKS.items()
    for parameter, label, path in path_options(callback)
]
NO_PATHS: Final = {
    "score": {"space", "batch_size", "seed", "measure", "images", "engine", "dtype", "address", "mapping"},
    "score-module": {"target", "images", "measure", "activations", "outputs"},
    "accuracies": {"space", "mapping"},
    "join": {"space", "mapping"},
    "query": {"sql"},
    "plan": {"withdrawn"},
    "audit": {"engine"},
    "search": {"measure", "space", "images", "report", "select", "address"},
    "ablate": {"measure", "space", "images"},
    "figures": {"measure", "colour"},
    "report": {"measure"},
    "publish": {"push"},
    "fetch": {"names"},
}
"""Parameters of type text that do not name a path."""


def line(command: str, name: str, value: str) -> list[str]:
    """Arguments that give a command what it needs, and one parameter a certain value."""
    arguments: list[str] = []
    for parameter in COMMANDS[command].params:
        given = value if parameter.name == name else "/nowhere/at/all" if parameter.required else None
        if given is not None:
            arguments += [given] if parameter.param_type_name == "argument" else [parameter.opts[0], given]
    return [command, *arguments]


def refusal(*arguments: str) -> str:
    result = naswot(*arguments)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    return result.stderr


@pytest.mark.parametrize("command", CALLBACKS)
def test_no_path_is_forgotten(command: str) -> None:
    """A new option of type text must either be marked as a path or be listed above."""
    marked = {parameter.values[1] for parameter in PATHS if parameter.values[0] == command}
    texts = set()
    for name, parameter in inspect.signature(CALLBACKS[command], eval_str=True).parameters.items():
        kinds = types_in(parameter.annotation)
        assert not any(issubclass(kind, os.PathLike) for kind in kinds), "pathlib makes s3:/ of s3://"
        if str in kinds:
            texts.add(name)
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if (getattr(info, "metavar", None) or "").strip("[]") in ("PATH", "DIR", "FILE", "DATASET"):
                assert name in marked
    assert texts - NO_PATHS.get(command, set()) == marked


def types_in(annotation: Any) -> set[type]:
    """The classes that occur in an annotation."""
    if isinstance(annotation, type) and not get_args(annotation):
        return {annotation}
    parts = get_args(annotation)
    return set().union(*map(types_in, parts[:1] if hasattr(annotation, "__metadata__") else parts)) if parts else set()


def test_the_commands_have_the_paths_that_they_had() -> None:
    assert len(PATHS) >= 30


def value_of(path: PathOption, text: str) -> str:
    return f"source={text}" if path.is_assignment else text


SECRETS = [
    "s3://AKIA123:wJalr@bucket/x",
    "s3://AKIA123:wJa/lr@bucket/x",
    "s3://AKIA123:wJa\u2100lr@bucket",
    "s3:/AKIA123:wJalr@bucket",
    "s3:AKIA123:wJa/lr@bucket",
    "gs://AKIA123@bucket",
]


@pytest.mark.parametrize(("command", "parameter", "label", "path"), PATHS)
class TestEveryPath:
    def test_of_a_user_that_does_not_exist(self, command: str, parameter: str, label: str, path: PathOption) -> None:
        message = refusal(*line(command, parameter, value_of(path, "~nobody-of-that-name/x")))
        assert message.startswith(
            "error: ~nobody-of-that-name/x: there is no home directory ~nobody-of-that-name; for a local "
        )

    def test_with_one_slash(
        self, command: str, parameter: str, label: str, path: PathOption, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert "s3:/b/x: expected " in refusal(*line(command, parameter, value_of(path, "s3:/b/x")))
        assert list(tmp_path.iterdir()) == []

    def test_relative_in_a_job(
        self, command: str, parameter: str, label: str, path: PathOption, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}')
        message = refusal(*line(command, parameter, value_of(path, "some/scores")))
        assert message.startswith(f"error: {label} {'source ' if path.is_assignment else ''}some/scores: inside a Ray job")
        assert "give an absolute path that " in message
        assert ("or a URI, as in s3://" in message) is path.may_be_uri
        assert list(tmp_path.iterdir()) == []

    def test_uri(self, command: str, parameter: str, label: str, path: PathOption) -> None:
        uri = "s3://bucket/x"
        if path.may_be_uri:
            assert path.settled(value_of(path, uri), label) == value_of(path, uri)
        else:
            message = refusal(*line(command, parameter, uri))
            assert message == f"error: {label} s3://bucket/x: expected a folder on a local disk, not a URI\n"

    def test_with_a_secret(self, command: str, parameter: str, label: str, path: PathOption) -> None:
        for uri in SECRETS:
            message = refusal(*line(command, parameter, value_of(path, uri)))
            assert "credentials do not belong in a URI" in message
            assert not any(secret in message for secret in ("AKIA", "wJa", "lr@"))


def test_home_directories(tmp_path: Path, root: Path, accuracies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "complete" in prints("info", "~/d")
    assert naswot_ray.open("~/d").storage.local == root
    prints("score", "--output=~/new", "--in-process", "--limit", 1, "--batch-size", 2)
    prints("accuracies", "nasbench201", "~/accuracies.csv", "--dataset=~/d", *MAP)
    prints("query", "~/d", "SELECT 1", "--format", "csv", "-o", "~/one.csv")
    assert prints("fetch", "--cache=~/cache").endswith(f"cache: {tmp_path}/cache\n")
    monkeypatch.setenv("NASWOT_RAY_CACHE", "~/of-variable")
    assert prints("fetch").endswith(f"cache: {tmp_path}/of-variable\n")
    assert {"d", "new", "one.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "~").exists()
    prints("score", "-o", "./~nobody", "--in-process", "--limit", 1, "--batch-size", 2)
    assert (tmp_path / "~nobody/dataset.json").exists()


def test_home_directories_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_images(tmp_path / "images", seed=0)
    assert naswot_ray.load_images("cifar10", "~/images").pixels is not None
    score_here(Path("~/scores"), limit=1, batch_size=[2], seed=[0])
    assert (tmp_path / "scores/dataset.json").exists()
    for call in (naswot_ray.open, lambda path: naswot_ray.load_images("cifar10", path), expand_home):
        with pytest.raises(SettingsError, match="there is no home directory ~nobody-of-that-name"):
            call("~nobody-of-that-name/x")
    monkeypatch.chdir(tmp_path)
    assert expand_home(expand_home("./~x")) == tmp_path / "~x"


class TestJob:
    """Make this process look as if `ray job submit` had started it: its folder and its environment variable."""

    @pytest.fixture
    def uploaded(self, tmp_path: Path) -> Path:
        """The folder of a job, with everything that was uploaded."""
        folder = tmp_path / "session/runtime_resources/working_dir_files/_ray_pkg_1"
        (folder / "data").mkdir(parents=True)
        (folder / "table.csv").write_text("arch,acc\n")
        return folder

    def settle(self, text: str, *, use: str = "input") -> str:
        return PathOption("input" if use == "input" else "output").settled(text, "--x")

    def test_known_by_its_folder_or_its_variable(self, uploaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not is_in_job()
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
        assert is_in_job()
        monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR")
        monkeypatch.chdir(uploaded)
        assert is_in_job()

    def test_inputs_that_was_uploaded(self, uploaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(uploaded)
        for text in ("table.csv", "./data", "data/../table.csv", "/absolute", "s3://bucket/x"):
            assert self.settle(text) == text
        for text in ("nowhere.csv", "../_ray_pkg_1/table.csv", "data/../../_ray_pkg_1/data"):
            with pytest.raises(SettingsError, match="was not uploaded with --working-dir"):
                self.settle(text)
        with pytest.raises(SettingsError, match="is deleted with the job"):
            self.settle("data", use="output")

    def test_without_a_working_dir_nothing_was_uploaded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "table.csv").touch()
        monkeypatch.chdir(tmp_path)
        for config in ('{"runtime_env": {}}', "{}", "[]", "?", "", "[" * 10**5):
            monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", config)
            with pytest.raises(SettingsError, match="was not uploaded"):
                self.settle("table.csv")

    def test_options_of_the_python_function(self, uploaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(uploaded)
        with pytest.raises(SettingsError, match="--output: scores: inside a Ray job"):
            ScoreOptions.checked(output="scores")
        with pytest.raises(SettingsError, match="--data: nowhere: inside a Ray job"):
            ScoreOptions.checked(output="/shared/scores", data=Path("nowhere"))
        with pytest.raises(SettingsError, match="--space-option: source nowhere: inside a Ray job"):
            ScoreOptions.checked(output="/shared/scores", space_option=["stem_channels=16", "source=nowhere"])
        options = ScoreOptions.checked(output="/shared/scores", data="data", space_option=["source=table.csv"])
        assert (options.data, options.space_option) == ("data", ["source=table.csv"])

    def test_a_name_that_a_command_makes_up(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
        assert "--output ./d-analysis: inside a Ray job" in refuses(root, "analyse", root)

    @pytest.mark.parametrize(
        ("job", "arguments"),
        [
            ("score", ("--output", "scores", "--limit", "1")),
            ("join", ("scores",)),
            ("analyse", ("scores",)),
            ("search", ("scores",)),
            ("search", ("--live", "--space", "nasbench201", "-o", "found")),
            ("publish", ("/shared/scores", "-o", "published")),
        ],
    )
    def test_every_job(self, job: str, arguments: tuple[str, ...], uploaded: Path) -> None:
        config = json.dumps({"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip", "env_vars": {}}, "metadata": {}})
        environ = os.environ | {"PYTHONPATH": str(ROOT), "RAY_JOB_CONFIG_JSON_ENV_VAR": config}
        command = [sys.executable, str(ROOT / f"jobs/{job}.py"), *arguments]
        done = subprocess.run(command, cwd=uploaded, env=environ, capture_output=True, text=True, check=False)
        check_refusal(done.returncode, done.stdout, done.stderr)
        assert "inside a Ray job a relative path" in done.stderr
        assert {path.name for path in uploaded.iterdir()} == {"data", "table.csv"}


class TestBucket:
    """Everything is read from and written to a real S3 server, which the variables of the AWS tools name."""

    @pytest.fixture(autouse=True)
    def configured(self, s3_server: s3.S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_server.port}")
        monkeypatch.setenv("AWS_REGION", s3.REGION)

    @pytest.fixture
    def put(self, s3_server: s3.S3Server, bucket: str, tmp_path: Path) -> str:
        """The URI of a folder with images and a file of NDS."""
        images = write_images(tmp_path / "images", seed=0, num_images=64)
        s3_server.put(bucket, "in/images/cifar10.npz", (images / "cifar10.npz").read_bytes())
        source = write_nds_json(tmp_path, "ResNeXt-A", [nds_record(ANYNET) for _ in range(3)])
        s3_server.put(bucket, "in/ResNeXt-A.json", source.read_bytes())
        return f"s3://{bucket}/in"

    def test_outputs(self, s3_server: s3.S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dataset = make_joined(tmp_path / "d").storage.root
        monkeypatch.chdir(tmp_path)
        out = f"s3://{bucket}/out"
        few = write_images(tmp_path / "images", seed=0, num_images=16)
        ablate = ("ablate", "--num", 2, "--repeats", 2, "--batch-size", 4, "--images", "cifar10", "--data", few)
        assert f"written to {out}/ablation" in prints(*ablate, "-o", f"{out}/ablation")
        assert f"written to {out}/search" in prints("search", dataset, "--runs", 2, "--samples", 2, "-o", f"{out}/search")
        prints("report", dataset, "-o", f"{out}/page/report.html")
        prints("analyse", dataset, "-o", f"{out}/analysis")
        prints("query", dataset, "SELECT 1", "--format", "csv", "-o", f"{out}/one.csv")
        found = set(s3_server.objects(bucket))
        assert {f"out/ablation/ablation{suffix}" for suffix in (".parquet", ".md", ".svg", ".png")} <= found
        assert {f"out/search/search{suffix}" for suffix in (".parquet", ".md", ".svg", ".png")} <= found
        assert {"out/page/report.html", "out/analysis/analysis.md", "out/one.csv"} <= found
        assert {path.name for path in tmp_path.iterdir()} == {"d", "images"}
        for again in ((*ablate, "-o", f"{out}/ablation"), ("search", dataset, "--runs", 2, "-o", f"{out}/search")):
            assert f"{out}/{again[0].removesuffix('ate')}" in refuses(tmp_path, *again)
        assert set(s3_server.objects(bucket)) == found

    def test_inputs(self, put: str, bucket: str, tmp_path: Path) -> None:
        data = ("--images", "cifar10", "--data", f"{put}/images")
        root = f"s3://{bucket}/scores"
        prints("score", "-o", root, "--in-process", "--limit", 2, "--batch-size", 4, *data)
        assert "2 of 2 random rows agree" in prints("audit", root, "--data", f"{put}/images")
        prints("ablate", "--num", 2, "--repeats", 2, "--batch-size", 4, *data)
        prints("search", "--live", "--space", "nasbench201", "--samples", 2, "--batch-size", 4, *data)

    def test_the_file_of_a_space(self, put: str, bucket: str, tmp_path: Path) -> None:
        source = ("--space-option", f"source={put}/ResNeXt-A.json")
        root, space = f"s3://{bucket}/nds", ("--space", "nds_resnext-a")
        prints("score", "-o", root, "--in-process", "--limit", 1, "--batch-size", 2, *space, *source)
        assert "1 of 1 random row agree" in prints("audit", root), "where the run had it"
        assert "1 of 1 random row agree" in prints("audit", root, *source)
        prints("ablate", "--num", 2, "--repeats", 2, "--batch-size", 2, *space, *source)
        prints("search", "--live", "--samples", 2, "--batch-size", 2, *space, *source)
