"""A stranger's dataset is harmless: its texts are never paths, and reach a terminal, page or spreadsheet only as text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from naswot_ray.dataset import runs
from naswot_ray.dataset.join import join
from naswot_ray.dataset.manifest import Settings
from tests.cli.running import naswot, refuses
from tests.dataset.making import FAILED, SPACE, Row, add, arch_id, make_dataset, mean_accuracy


def rename_space(root: Path, name: str) -> None:
    """Rename the space of a dataset in `dataset.json`, as if it had always had this name."""
    path = root / "dataset.json"
    content = json.loads(path.read_text())
    content["settings"]["spaces"] = {name: content["settings"]["spaces"][SPACE]}
    content["fingerprint"] = Settings.model_construct(**content["settings"]).fingerprint
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "x\x1b[2J"])
@pytest.mark.parametrize("command", ["check", "info", "figures", "publish", "report", "analyse", "query"])
def test_a_space_whose_name_is_a_path_is_refused_by_every_command(root: Path, tmp_path: Path, command: str, name: str) -> None:
    rename_space(root, name)
    arguments: dict[str, list[object]] = {"figures": ["-o", tmp_path / "out"], "query": ["SELECT 1"]}
    arguments |= {
        "publish": ["-o", tmp_path / "out"],
        "report": ["-o", tmp_path / "out.html"],
        "analyse": ["-o", tmp_path / "out"],
    }
    message = refuses(tmp_path, command, root, *arguments.get(command, ()))
    assert message.startswith(f"error: {root / 'dataset.json'} is damaged (settings.spaces.")
    assert f"{name!r} is not a valid name" in message


def test_a_plan_of_a_run_whose_id_is_a_path_cannot_be_withdrawn(root: Path, tmp_path: Path) -> None:
    (record,) = (root / "runs").iterdir()
    record.write_text(json.dumps(json.loads(record.read_text()) | {"run_id": "../../outside"}))
    assert "'../../outside' is not a valid run id" in refuses(tmp_path, "plan", root, "--withdraw", "../../outside")


def test_a_secret_in_the_address_of_a_cluster_is_not_shown_or_recorded(tmp_path: Path) -> None:
    message = refuses(tmp_path, "score", "-o", tmp_path / "d", "--address", "ray://KEY:SECRET@host:10001")
    assert "--address: expected HOST:PORT or auto; leave out what stands before the @" in message
    assert "KEY" not in message


@pytest.mark.parametrize(
    "arguments",
    [["s3://KEY:SECRET@b/x"], ["score", "--seed", "s3://KEY:SEC/RET@b"], ["info", "x", "--s3://KEY:SECRET@b\x1b[2J"]],
)
def test_a_command_line_that_is_wrong_is_told_without_secrets_and_control_characters(arguments: list[str]) -> None:
    result = naswot(*arguments)
    assert result.exit_code == 2
    assert not any(text in result.output for text in ("KEY", "SEC", "RET", "\x1b"))


def test_what_a_link_leads_to_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "joined").symlink_to(tmp_path / "elsewhere")
    (root / "joined" / f"{SPACE}.noise.batch-4.seed-0.parquet").write_text("damaged, so that it is to be removed")
    result = naswot("check", root, "--repair")
    assert (
        result.stderr
        == f"error: {root / 'joined'} is a link that leads out of {root}, so nothing is written there; replace it by a folder\n"
    )
    assert list((tmp_path / "elsewhere").iterdir())


HOSTILE = "\x1b[2J\x1b]0;x\x07\u202e<script>[red]x[/red]|`"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joined dataset with hostile texts in every column that may hold arbitrary text."""
    folder = tmp_path_factory.mktemp("hostile")

    def change(row: Row) -> Row:
        odd = {"arch_id": row["arch_id"] + HOSTILE} if row["arch_index"] % 2 else {}
        failed = FAILED | {"error": HOSTILE} if row["arch_index"] == 2 else {}
        return {"run_id": HOSTILE, "device": HOSTILE, "engine": HOSTILE} | odd | failed

    dataset = make_dataset(folder / "d", batch_sizes=(4, 8), seeds=(0, 1), change=change)
    rows = [mean_accuracy(i, arch_id=arch_id(i) + (HOSTILE if i % 2 else "")) for i in range(8)]
    add(dataset, rows, source=f"x{HOSTILE}.csv".replace("/", ""))
    join(dataset, SPACE)
    (record,) = dataset.runs
    texts = {"versions": {HOSTILE: HOSTILE}, "hardware": {"processor": HOSTILE}, "options": {"space_option": [HOSTILE]}}
    runs.write(dataset.storage, record.model_copy(update=texts))
    (folder / "d" / "scores" / f"part-{HOSTILE}.parquet".replace("/", "")).write_text("x")
    return folder / "d"


COMMANDS: dict[str, tuple[int, list[object]]] = {
    "info": (1, []),
    "check": (1, []),
    "plan": (0, []),
    "query": (0, ["FROM scores", "--format", "table"]),
    "analyse": (0, ["-o", "OUT"]),
    "report": (0, ["-o", "OUT.html"]),
    "publish": (0, ["-o", "OUT", "--include-accuracies"]),
    "search": (0, ["--samples", 4, "--runs", 1, "-o", "OUT"]),
    "audit": (1, ["--sample", 2]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_a_control_character_or_writes_markup(hostile: Path, tmp_path: Path, command: str) -> None:
    status, arguments = COMMANDS[command]
    result = naswot(command, hostile, *(str(word).replace("OUT", str(tmp_path / "out")) for word in arguments))
    assert result.exit_code == status, result.output
    written = [path.read_text() for path in tmp_path.rglob("*.md")]
    for text in (result.output, *written):
        assert not set(text) & set("\x1b\x07\u202e")
    assert not any("<script" in re.sub(r"^(```+).*?\1", "", text, flags=re.DOTALL | re.MULTILINE) for text in written)
