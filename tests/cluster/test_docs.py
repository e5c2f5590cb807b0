"""docs/cluster.md is true as far as a machine can check."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from botocore import xform_name
from botocore.session import Session
from ray.autoscaler._private.util import prepare_config, validate_config

from naswot_ray.grid.grid import MAX_SHARD_SIZE
from tests.cluster.configs import AWS, ROOT, read
from tests.test_docs import blocks

PAGE = ROOT / "docs" / "cluster.md"
TEXT = PAGE.read_text()
GLOBAL = {"query", "output"}


def test_the_commands_for_aws_exist_with_their_options() -> None:
    lines = "\n".join(blocks(PAGE, "bash")).replace("\\\n", " ")
    commands = re.findall(r"\baws (?!s3 )([a-z0-9]+) ([a-z-]+)(.*)", lines)
    assert {service for service, _, _ in commands} == {"sts", "s3api", "iam", "ec2", "ssm"}
    for service, operation, arguments in commands:
        model = Session().get_service_model("s3" if service == "s3api" else service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, (service, operation)
        shape = model.operation_model(operations[operation]).input_shape
        known = {xform_name(name, "-") for name in (shape.members if shape else ())} | GLOBAL
        assert set(re.findall(r"(?<!\S)--([a-z-]+)", arguments)) <= known, (service, operation)


def test_the_account_is_prepared_with_what_the_configuration_names() -> None:
    (script,) = [block for block in blocks(PAGE, "bash") if "create-launch-template" in block]
    for node in read(AWS)["available_node_types"].values():
        assert f"--launch-template-name {node['node_config']['LaunchTemplate']['LaunchTemplateName']} " in script
        assert node["node_config"]["IamInstanceProfile"]["Name"] in re.findall(r"for role in (.*);", script)[0].split()


def test_the_policy_is_the_files() -> None:
    (policy,) = blocks(PAGE, "json")
    assert json.loads(policy) == json.loads((ROOT / "cluster" / "aws" / "bucket.json").read_text())


def test_no_role_may_delete() -> None:
    (script,) = [block for block in blocks(PAGE, "bash") if "put-role-policy" in block]
    assert set(re.findall(r"cluster/aws/(\w+)\.json", script)) == {"trust", "bucket", "autoscaler"}


def test_cpu_workers_as_described_are_valid() -> None:
    (instance,), (resources,) = re.findall(r"`InstanceType` such as `(.*?)`", TEXT), re.findall(r"`(resources: .*?)`", TEXT)
    config = read(AWS)
    worker = config["available_node_types"]["gpu"]
    worker["node_config"] |= {"InstanceType": instance, "LaunchTemplate": {"LaunchTemplateName": "naswot-ray-head"}}
    worker |= yaml.safe_load(resources)
    validate_config(prepare_config(config))
    (actors, nodes) = map(int, re.findall(r"`--num-actors (\d+)` without `--actors-per-gpu` makes (\d+) of them", TEXT)[0])
    assert actors == nodes * worker["resources"]["CPU"]
    assert nodes <= config["max_workers"]


def test_the_cost_arithmetic_adds_up() -> None:
    rows = re.findall(r"\| ([\d.]+) \| ([\d.]+) \| ([\d,]+) scores: ([\d.]+) core-hours \|", TEXT)
    assert len(rows) == 3
    for rate, per_million, scores, hours in rows:
        assert 1e6 / 3600 / float(rate) == pytest.approx(float(per_million), rel=2e-3)
        assert float(per_million) * int(scores.replace(",", "")) / 1e6 == pytest.approx(float(hours), rel=1e-2)
    total, wall, cores = map(float, re.findall(r"is (\d+) core-hours: ([\d.]+) hours on (\d+) cores", TEXT)[0])
    assert 10 * float(rows[-1][-1]) == pytest.approx(total, rel=1e-3)
    assert total / cores == pytest.approx(wall, rel=1e-2)
    (redone,) = re.findall(r"(\d+) seconds of a core", TEXT)
    assert MAX_SHARD_SIZE / float(rows[1][0]) == pytest.approx(float(redone), rel=1e-2)
