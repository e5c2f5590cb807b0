"""Scores equal those of the published code, and the command that checks it can fail."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from naswot_ray.engines import score as score_module
from naswot_ray.engines.weights import WeightSource
from naswot_ray.network import ops
from tests.parity import check
from tests.parity.__main__ import main

FILES = ("shape_keyed", "order_keyed")
LARGE = ("all_conv3x3", "all_none", "dead_conv_0to1", "literal_indices_dead_node2", "reordered_inputs", "sss_24_8_8_32_32")
"""Cases that are compared at 64 and 128 images too. `python -m tests.parity` compares the rest of the long tail."""
MAX_N = {"nb201": 32, "sss": 32, "nb101": 32, "nds": 16}

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
RECIPES: dict[str, check.Recipe] = {"shape_keyed": {"salt": 1312904023}, "order_keyed": "weight tensor of shape S ..., k)"}
# What the published code gives for CELL with both recipes: a check of parity that needs no file.
PUBLISHED: dict[str, dict[str, Any]] = {
    "shape_keyed": {
        "score": 218.16849995648965,
        "K_sum": 220390460,
        "K_row0_8": [1511424, 818119, 826394, 811156, 824587, 807338, 823589, 830665],
    },
    "order_keyed": {
        "score": 218.6493342004194,
        "K_sum": 214809928,
        "K_row0_8": [1511424, 790388, 802529, 785701, 794018, 790010, 804245, 788881],
    },
}


def _cases() -> list[Any]:
    """(file, space, name, N): every case at small N, and a few cases at every N."""
    found = []
    for file in FILES:
        for case in check.read_vectors(check.VECTORS / f"{file}.json").cases:
            space, name = case["space"], case["name"]
            sizes = check.batch_sizes(case, None if name in LARGE else MAX_N[space])
            found += [pytest.param(file, space, name, n, id=f"{file}-{space}-{name}-{n}") for n in sizes]
    return found


CASES = _cases()


@pytest.fixture(scope="module")
def vectors() -> dict[str, check.Vectors]:
    return {file: check.read_vectors(check.VECTORS / f"{file}.json") for file in FILES}


def _golden(recipe: str) -> dict[str, Any]:
    """A vector file with the one case whose published result is given above."""
    result = {"n_units": 1511424, "K_trace": 16 * 1511424, **PUBLISHED[recipe]}
    case = {"space": "nb201", "name": "golden", "arch": CELL, "hw": 32, "batch_seed": 20210718, "results": {"16": result}}
    return {"recipe": RECIPES[recipe], "cases": [case]}


def _written(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(("file", "space", "name", "n"), CASES)
def test_published_score(vectors: dict[str, check.Vectors], file: str, space: str, name: str, n: int) -> None:
    (case,) = (c for c in vectors[file].cases if c["name"] == name and c["space"] == space)
    assert check.compare_case(vectors[file].recipe, case, n).differences == ()


def test_every_case_is_among_the_tests(vectors: dict[str, check.Vectors]) -> None:
    """An empty list of cases would pass unnoticed."""
    for file, num_cases in (("shape_keyed", 138), ("order_keyed", 60)):
        assert len({param.values[1:3] for param in CASES if param.values[0] == file}) == num_cases


@pytest.mark.parametrize("space", MAX_N)
def test_shared_and_swapped_layers_are_seen_in_every_space(vectors: dict[str, check.Vectors], space: str) -> None:
    """Three kinds of weights give three kernels: own weights for each layer, one set for each shape, and two layers
    exchanged."""
    recipe = vectors["order_keyed"].recipe
    cases = [case for case in vectors["order_keyed"].cases if case["space"] == space]
    num_seen = 0
    for case in cases:
        network = check.NETWORKS[space](case)
        executed = [step.op for step in network.plan.steps if isinstance(step.op, ops.Conv)]
        twins: dict[ops.Shape, list[ops.Weighted]] = {}
        for layer in executed:
            twins.setdefault(layer.weight_shape, []).append(layer)
        pairs = [layers[:2] for layers in twins.values() if len(layers) > 1]
        if not pairs:
            continue
        first, second = pairs[0]
        own = check.weights_of(recipe, network)
        exchange = {first.layer: second, second.layer: first}
        recipes: list[WeightSource] = [
            own,
            lambda layer, own=own, twins=twins: own(twins[layer.weight_shape][0]),
            lambda layer, own=own, exchange=exchange: own(exchange.get(layer.layer, layer)),
        ]
        batch = check.batch_of(case, 8)
        scored = [score_module.score_with_weights(network, batch, weights, return_kernel=True) for weights in recipes]
        digests = {check.sha256_of(s.kernel) for s in scored if s.kernel is not None}
        assert len(digests) == 3, case["name"]
        num_seen += 1
        if num_seen == 4:
            break
    assert num_seen >= 3


@pytest.mark.parametrize("recipe", FILES)
def test_published_score_without_the_files(recipe: str) -> None:
    content = _golden(recipe)
    assert check.compare_case(content["recipe"], content["cases"][0], 16).differences == ()


def test_recipes_give_different_kernels() -> None:
    """Otherwise a layer that takes another's weights would go unnoticed."""
    kernels = []
    for recipe in FILES:
        content = _golden(recipe)
        case = content["cases"][0]
        network = check.NETWORKS["nb201"](case)
        weights = check.weights_of(content["recipe"], network)
        scored = score_module.score_with_weights(network, check.batch_of(case, 16), weights, return_kernel=True)
        assert scored.kernel is not None
        kernels.append(check.sha256_of(scored.kernel))
    assert kernels[0] != kernels[1]


def test_swapped_layers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two convolutions of one cell exchange their weights: within tolerance if shape-keyed, out of it if order-keyed."""
    original = check.weights_of

    def swapped(recipe: check.Recipe, network: Any) -> Callable[[ops.Weighted], torch.Tensor]:
        weights = original(recipe, network)
        exchange = {1: 2, 2: 1}
        return lambda layer: weights(network.layers[exchange.get(layer.layer, layer.layer)])

    monkeypatch.setattr(check, "weights_of", swapped)
    for recipe, differs in (("shape_keyed", False), ("order_keyed", True)):
        content = _golden(recipe)
        assert bool(check.compare_case(content["recipe"], content["cases"][0], 16).differences) is differs


def test_command_without_files_checks_the_repositorys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", "sss", "--max-n", "4"]) == 0
    num_cases = sum(
        case["space"] == "sss" for file in FILES for case in check.read_vectors(check.VECTORS / f"{file}.json").cases
    )
    assert capsys.readouterr().out.startswith(f"{num_cases} cases, ")


def test_command_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([_written(tmp_path, _golden("order_keyed"))]) == 0
    out = capsys.readouterr().out
    assert "FAILED" not in out
    assert "1 cases, 1 comparisons (case x N): 1 within tolerance" in out
    assert "0 failed" in out
    assert "unsupported: 0 cases" in out


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("score", lambda v: v + 2e-3),
        ("score", lambda v: "-inf"),
        ("n_units", lambda v: v + 1),
        ("K_trace", lambda v: v + 1),
        ("K_sum", lambda v: v + 16 * 16 * 400),
        ("K_row0_8", lambda v: [*v[:-1], v[-1] + 400]),
    ],
)
def test_command_fails_on_an_altered_vector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, change: Callable[[Any], Any]
) -> None:
    content = _golden("order_keyed")
    content["cases"].insert(0, copy.deepcopy(content["cases"][0]) | {"name": "untouched"})
    result = content["cases"][1]["results"]["16"]
    result[key] = change(result[key])
    assert main([_written(tmp_path, content)]) == 1
    *failures, closing = capsys.readouterr().out.splitlines()
    assert len(failures) == 1
    assert failures[0].startswith("FAILED vectors.json: golden (nb201), N=16: ")
    assert f"{key}: expected {result[key]}, got " in failures[0]
    assert "2 comparisons (case x N): 1 within tolerance" in closing
    assert "1 failed" in closing


def test_command_fails_on_a_score_for_a_singular_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = _golden("order_keyed")
    content["cases"][0]["arch"] = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert main([_written(tmp_path, content)]) == 1
    assert "got -inf" in capsys.readouterr().out


def test_command_fails_on_a_vector_without_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = _golden("order_keyed")
    del content["cases"][0]["results"]["16"]["K_trace"]
    assert main([_written(tmp_path, content)]) == 1
    assert "the vector lacks 'K_trace'" in capsys.readouterr().out


def test_unsupported_space_is_neither_dropped_nor_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = _golden("order_keyed")
    content["cases"].append({**content["cases"][0], "space": "other"})
    path = _written(tmp_path, content)
    assert main([path]) == 1
    out = capsys.readouterr().out
    assert "2 cases, 1 comparisons (case x N): 1 within tolerance" in out
    assert out.rstrip().endswith("unsupported: 1 cases, other 1")
    assert main([path, "--allow-unsupported"]) == 0
    assert "unsupported: 1 cases, other 1" in capsys.readouterr().out
    assert main([path, "--space", "nb201"]) == 0
    assert main([path, "--space", "other", "--allow-unsupported"]) == 1, "nothing was compared"


def test_adding_a_space_is_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = _golden("order_keyed")
    content["cases"][0]["space"] = "new"
    monkeypatch.setitem(check.NETWORKS, "new", check.NETWORKS["nb201"])
    assert main([_written(tmp_path, content)]) == 0
    assert "unsupported: 0 cases" in capsys.readouterr().out


def test_expected_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = _golden("order_keyed")
    content["cases"][0] |= {"expect": "error", "arch": "|none~0|"}
    assert main([_written(tmp_path, content)]) == 0
    content["cases"][0]["arch"] = CELL
    assert main([_written(tmp_path, content)]) == 1
    assert "golden (nb201), N=16: expected a NaswotError or ValueError, got the score" in capsys.readouterr().out


def test_auxiliary_head_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published code fails on a record with such a head. Here it has the same score as without it."""
    edges = [["sep_conv_3x3", 0], ["skip_connect", 1]]
    genotype = {"normal": edges, "normal_concat": [2], "reduce": edges, "reduce_concat": [2]}
    net = {"genotype": genotype, "width": 4, "depth": 3, "aux": True}
    content = _golden("order_keyed")
    content["cases"][0] |= {"space": "nds", "family": "DARTS", "net": net, "expect": "error", "results": {"16": {}}}
    assert main([_written(tmp_path, content)]) == 0
    build = check.NETWORKS["nds"]
    deeper = {**content["cases"][0], "net": {**net, "depth": 4}}
    monkeypatch.setitem(check.NETWORKS, "nds", lambda case: build(deeper if case["net"]["aux"] else case))
    assert main([_written(tmp_path, content)]) == 1
    assert "golden (nds), N=16: score: expected " in capsys.readouterr().out
    net["aux"] = False
    assert main([_written(tmp_path, content)]) == 1
    assert "golden (nds), N=16: expected a NaswotError or ValueError, got the score" in capsys.readouterr().out
    content["cases"][0]["net"] = net | {"aux": True, "width": 0}
    assert main([_written(tmp_path, content)]) == 1
    assert "golden (nds), N=16: expected a score, got ArchitectureError: " in capsys.readouterr().out


def test_unexpected_error_fails_the_case_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = _golden("order_keyed")
    content["cases"].insert(0, {**content["cases"][0], "name": "broken", "arch": "|none~0|"})
    assert main([_written(tmp_path, content)]) == 1
    out = capsys.readouterr().out
    assert (
        "FAILED vectors.json: broken (nb201), N=16: expected a score, got ArchitectureError: '|none~0|': 1 node groups" in out
    )
    assert "2 comparisons (case x N): 1 within tolerance" in out


def test_max_n(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = _golden("order_keyed")
    content["cases"][0]["results"]["64"] = {"score": 0.0, "n_units": 0, "K_trace": 0}
    path = _written(tmp_path, content)
    assert main([path]) == 1
    assert main([path, "--max-n", "16"]) == 0
    assert main([path, "--max-n", "8"]) == 1, "nothing was compared"
    assert "nothing was compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"recipe": {"seed": 1}, "cases": []}', '{"recipe": "order", "cases": [{"name": "a"}]}']
)
def test_not_a_vector_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(content)
    assert main([str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_unknown_space_and_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([_written(tmp_path, _golden("order_keyed")), "--space", "nb102"]) == 2
    assert "no case of space nb102; there are: nb201" in capsys.readouterr().err
    assert main([str(tmp_path / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err
