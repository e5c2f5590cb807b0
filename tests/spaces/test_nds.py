"""NDS families as spaces, opened from files in the official format."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from naswot_ray.errors import ArchitectureError, BenchmarkError, SettingsError
from naswot_ray.grid.rows import architecture_row
from naswot_ray.network import Network
from naswot_ray.spaces import all_spaces, get_space, open_spaces
from naswot_ray.spaces.nds import NdsSpace
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_json, write_nds_zip

PUBLISHED = {
    "nds_amoeba": "Amoeba",
    "nds_amoeba_in": "Amoeba_in",
    "nds_darts": "DARTS",
    "nds_darts_in": "DARTS_in",
    "nds_darts_fix-w-d": "DARTS_fix-w-d",
    "nds_darts_lr-wd": "DARTS_lr-wd",
    "nds_enas": "ENAS",
    "nds_enas_in": "ENAS_in",
    "nds_enas_fix-w-d": "ENAS_fix-w-d",
    "nds_nasnet": "NASNet",
    "nds_nasnet_in": "NASNet_in",
    "nds_pnas": "PNAS",
    "nds_pnas_in": "PNAS_in",
    "nds_pnas_fix-w-d": "PNAS_fix-w-d",
    "nds_resnet": "ResNet",
    "nds_resnext-a": "ResNeXt-A",
    "nds_resnext-a_in": "ResNeXt-A_in",
    "nds_resnext-b": "ResNeXt-B",
    "nds_resnext-b_in": "ResNeXt-B_in",
    "nds_vanilla": "Vanilla",
    "nds_vanilla_lr-wd": "Vanilla_lr-wd",
    "nds_vanilla_lr-wd_in": "Vanilla_lr-wd_in",
}
"""Names of the published code -> names of its files."""


def changed(net: Any, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = copy.deepcopy(dict(net))
    return own | more


def with_edge(net: Any, kind: str, edge: int, value: list[Any]) -> dict[str, Any]:
    own = changed(net)
    own["genotype"][kind][edge] = value
    return own


CELL_NETS = [
    changed(CELL_NET),
    changed(CELL_NET, depth=11),
    with_edge(CELL_NET, "normal", 2, ["conv_1x1", 2]),
    with_edge(CELL_NET, "reduce", 1, ["skip_connect", 1]),
    with_edge(changed(CELL_NET, width=20), "reduce", 1, ["skip_connect", 1]),
    changed(CELL_NET, aux=True, drop_prob=0.2),
    changed(CELL_NET),
]
"""1, 2 and 3 are one choice away from 0, and 4 from 3. 5 and 6 are the same network as 0."""


def write(folder: Path, family: str = "DARTS", nets: Any = CELL_NETS) -> str:
    return str(write_nds_json(folder, family, [nds_record(net) for net in nets]))


@pytest.fixture
def space(tmp_path: Path) -> NdsSpace:
    return NdsSpace("DARTS", write(tmp_path))


def shapes_of(network: Network) -> list[tuple[int, ...]]:
    return [layer.weight_shape for layer in network.layers]


class TestFamilies:
    def test_every_space_of_the_published_code_is_there(self) -> None:
        for name, family in PUBLISHED.items():
            assert inspect.signature(all_spaces()[name]).parameters.keys() == {"source"}
            with pytest.raises(SettingsError, match=f"^no official NDS file at /nowhere/{family}.json to open {name} from; "):
                all_spaces()[name](source=f"/nowhere/{family}.json")

    def test_variants_that_only_the_archive_has(self) -> None:
        assert {"nds_resnet_lr-wd", "nds_resnet_lr-wd_in", "nds_resnet_reruns", "nds_resnet_rng1"} <= all_spaces().keys()

    @pytest.mark.parametrize("name", ["nds_darts", "nds_pnas_in", "nds_resnext-b_in", "nds_vanilla", "nds_resnet_lr-wd_in"])
    def test_image_size(self, tmp_path: Path, name: str) -> None:
        """Networks for ImageNet have images of 224 pixels and 1000 classes, and differ in their stems."""
        cells = name.startswith(("nds_darts", "nds_pnas"))
        net = CELL_NET if cells else changed(ANYNET)
        if "vanilla" in name:
            net = {"block_type": "double_plain_block", "ds": [1], "ws": [16], "ss": [1]}
        families = {family: [nds_record(net)] for family in (*PUBLISHED.values(), "ResNet_lr-wd_in")}
        space = get_space(name, source=str(write_nds_zip(tmp_path / f"{name}.zip", families)))
        assert space.name == name
        assert (space.image_size, space.num_classes) == ((224, 1000) if "_in" in name else (32, 10))
        network = space.trained_network(space[0])
        assert network.input_shape == (3, space.image_size, space.image_size)
        assert network.nodes[network.output].shape == (space.num_classes,)
        first = {"nds_darts": (48, 3, 3, 3), "nds_pnas_in": (8, 3, 3, 3), "nds_vanilla": (12, 3, 3, 3)}
        assert network.layers[0].weight_shape == first.get(name, (12, 3, 7, 7))


class TestOpening:
    def test_json_and_archive_hold_the_same_space(self, tmp_path: Path, space: NdsSpace) -> None:
        archive = write_nds_zip(tmp_path / "data.zip", {"DARTS": [nds_record(net) for net in CELL_NETS], "ENAS": []})
        assert list(NdsSpace("DARTS", str(archive))) == list(space)

    def test_reruns(self, tmp_path: Path) -> None:
        """First `top`, then `mid`."""
        content = {"mid": [nds_record(CELL_NETS[1])], "top": [nds_record(net) for net in CELL_NETS[2:4]]}
        reruns = NdsSpace("DARTS", str(write_nds_json(tmp_path, "DARTS", content)))
        assert [json.loads(reruns.architecture(arch_id)) for arch_id in reruns] == [*CELL_NETS[2:4], CELL_NETS[1]]

    def test_source_is_a_parameter_of_the_space(self, tmp_path: Path) -> None:
        source = write(tmp_path)
        opened = open_spaces(["nds_darts", "nasbench201"], [f"source={source}"])["nds_darts"]
        assert len(opened) == len(CELL_NETS)
        assert get_space("nds_darts", source=source) is opened

    def test_default_is_where_fetch_puts_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
        path = tmp_path / "nds" / "data.zip"
        message = (
            f"no official NDS file at {path} to open nds_darts from; run `naswot-ray fetch nds`, or give "
            "--space-option source=data.zip"
        )
        with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
            NdsSpace("DARTS")
        path.parent.mkdir()
        write_nds_zip(path, {"DARTS": [nds_record(CELL_NET)]})
        assert len(NdsSpace("DARTS")) == 1

    def test_home_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        write(tmp_path)
        assert len(NdsSpace("DARTS", "~/DARTS.json")) == len(CELL_NETS)

    def test_damaged_file(self, tmp_path: Path) -> None:
        path = tmp_path / "DARTS.json"
        path.write_text("[")
        with pytest.raises(BenchmarkError, match=re.escape(str(path))):
            NdsSpace("DARTS", str(path))


class TestOrder:
    def test_arch_ids_are_position_and_digest(self, space: NdsSpace) -> None:
        assert len(space) == 7
        canonical = json.dumps(CELL_NETS[1], sort_keys=True, separators=(",", ":"))
        assert space[1] == f"00001-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
        assert space.architecture(space[1]) == canonical
        assert space[0].split("-")[1] == space[6].split("-")[1] != space[5].split("-")[1]

    def test_index_is_the_inverse(self, space: NdsSpace) -> None:
        assert [space.index(arch_id) for arch_id in space] == list(range(7))
        assert [space.benchmark_index(arch_id) for arch_id in space] == list(range(7))
        for index in (-1, 7):
            with pytest.raises(IndexError, match=rf"^index {index} is outside of nds_darts \(0..6\)$"):
                space[index]

    def test_not_in_the_space(self, space: NdsSpace) -> None:
        """An id of another version of the file is not mistaken for one of this version."""
        message = (
            f"'00001-0123456789ab' is not one of the 7 architectures of nds_darts in the file that was opened.*'{space[0]}'"
        )
        for call in (space.index, space.network, space.neighbours, space.architecture):
            with pytest.raises(ArchitectureError, match=message):
                call("00001-0123456789ab")


class TestNeighbours:
    def test_differ_in_one_choice(self, space: NdsSpace) -> None:
        found = [[space.index(other) for other in space.neighbours(arch_id)] for arch_id in space]
        assert found == [[1, 2, 3], [0, 5, 6], [0, 5, 6], [0, 4, 5, 6], [3], [1, 2, 3], [1, 2, 3]]
        assert space.isomorphism_class(space[0]) is None

    def test_of_an_anynet(self, tmp_path: Path) -> None:
        nets = [
            changed(ANYNET),
            changed(ANYNET, ws=[16, 48, 128]),
            changed(ANYNET, ws=[16, 48, 128], ds=[1, 4, 3]),
            changed(ANYNET, num_gs=[2, 2, 4]),
            changed(ANYNET, num_gs=[2, 2]),
            changed(ANYNET, block_type="unknown"),
        ]
        space = NdsSpace("ResNeXt-A", write(tmp_path, "ResNeXt-A", nets))
        found = [[space.index(other) for other in space.neighbours(arch_id)] for arch_id in space]
        assert found == [[1, 3], [0, 2], [1], [0], [], []], "malformed records have none"


class TestNetwork:
    def test_is_that_of_the_record(self, space: NdsSpace) -> None:
        network = space.network(space[2])
        assert network.arch_id == space[2]
        assert (network.input_shape, network.nodes[network.output].shape) == ((3, 32, 32), (10,))
        assert (16, 16, 1, 1) in shapes_of(network)
        other = space.network(space[2], input_shape=(3, 16, 16), num_classes=7)
        assert shapes_of(other)[:-1] == shapes_of(network)[:-1]
        assert (other.input_shape, other.nodes[other.output].shape) == ((3, 16, 16), (7,))

    def test_auxiliary_head_changes_the_id_alone(self, space: NdsSpace) -> None:
        assert space.network(space[5]).nodes == space.network(space[0]).nodes

    def test_a_malformed_record_fails_alone(self, tmp_path: Path) -> None:
        nets = [*CELL_NETS[:2], with_edge(CELL_NET, "normal", 1, ["max_pool_9x9", 0]), changed(CELL_NET, width=0), CELL_NETS[2]]
        space = NdsSpace("DARTS", write(tmp_path, nets=nets))
        for index, message in ((2, r"genotype.normal\[1\]: unknown operation 'max_pool_9x9'"), (3, "width 0: expected")):
            with pytest.raises(ArchitectureError, match=f"^DARTS {space[index]}: {message}"):
                space.network(space[index])
            assert json.loads(space.architecture(space[index])) == nets[index]
            assert space.neighbours(space[index]) == []
        rows = [architecture_row(space, index) for index in range(5)]
        assert [row.status for row in rows] == ["ok", "ok", "failed", "failed", "ok"]
        assert "unknown operation 'max_pool_9x9'" in str(rows[2].error)


def test_settings_tell_files_apart(tmp_path: Path, space: NdsSpace) -> None:
    lines = "".join(json.dumps(net, sort_keys=True, separators=(",", ":")) + "\n" for net in CELL_NETS)
    assert space.settings() == {
        "family": "DARTS",
        "num_architectures": 7,
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
        "initialisation": "kaiming_uniform",
        "stem": "cifar",
        "auxiliary_head": False,
    }
    other = NdsSpace("DARTS", write(tmp_path, nets=CELL_NETS[::-1]))
    assert other.settings()["digest"] != space.settings()["digest"]
    resnet = NdsSpace("ResNet", write(tmp_path, "ResNet", [changed(ANYNET)])).settings()
    assert (resnet["stem"], resnet["stem_width"], resnet["initialisation"]) == ("res_stem_in", 12, "normal_fan_out")
    assert NdsSpace("DARTS_in", write(tmp_path, "DARTS_in")).settings()["stem"] == "imagenet"
    assert NdsSpace("Vanilla", write(tmp_path, "Vanilla", [changed(ANYNET)])).settings()["stem"] == "simple_stem_in"


def test_travels_without_its_file(tmp_path: Path, space: NdsSpace) -> None:
    (tmp_path / "DARTS.json").unlink()
    copied = pickle.loads(pickle.dumps(space))
    assert list(copied) == list(space)
    assert copied.settings() == space.settings()
    assert copied.network(copied[3]) == space.network(space[3])
    assert copied.neighbours(copied[0]) == space.neighbours(space[0])


def test_pickle_holds_little_but_the_networks(tmp_path: Path) -> None:
    """The curves of the trainings are most of the file, and are not sent along."""
    nets = [changed(CELL_NET, depth=depth) for depth in range(1, 201)]
    path = write_nds_json(tmp_path, "DARTS", [nds_record(net, errors=[50.0] * 100) for net in nets])
    space = NdsSpace("DARTS", str(path))
    assert len(pickle.dumps(space)) < 1.5 * sum(len(json.dumps(net)) for net in nets) < path.stat().st_size / 3
