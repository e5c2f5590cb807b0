"""The cluster configurations are valid for Ray, agree with each other, are closed to the world, and use this project's
versions."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from naswot_ray.cli import app
from tests.cluster.configs import AWS, GCP, KUBERAY, LAUNCHED, ONPREM, ROOT, on_demand, read

TOKEN = "~/.ray/auth_token"
SETUP = ROOT / "cluster" / "setup.sh"
CONTAINERFILE = ROOT / "cluster" / "Containerfile"
FILES = (*LAUNCHED, KUBERAY, SETUP, CONTAINERFILE)


def name(path: Path) -> str:
    return path.name


@pytest.fixture
def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def kuberay() -> tuple[dict[str, Any], dict[str, Any]]:
    """The RayJob and the NetworkPolicy."""
    job, policy = yaml.safe_load_all(KUBERAY.read_text())
    return job, policy


@pytest.mark.parametrize("path", LAUNCHED, ids=name)
def test_ray_accepts_it(path: Path) -> None:
    prepared = prepare_config(read(path))
    validate_config(prepared)
    assert prepared["cluster_name"] == "naswot-ray"
    with pytest.raises(ValidationError, match="head_start_ray_command"):
        validate_config({**prepared, "head_start_ray_command": []})


def test_ray_accepts_the_switch_to_on_demand() -> None:
    config = yaml.safe_load(on_demand(AWS.read_text()))
    validate_config(prepare_config(config))
    config["available_node_types"]["gpu"]["node_config"]["InstanceMarketOptions"] = {"MarketType": "spot"}
    assert config == read(AWS)


def test_gcp_becomes_on_demand_as_its_comment_says() -> None:
    (says,) = re.findall(r"on demand write (\{.*\})", GCP.read_text())
    config = read(GCP)
    worker = config["available_node_types"]["gpu"]["node_config"]
    assert worker["scheduling"]["provisioningModel"] == "SPOT"
    worker["scheduling"] = yaml.safe_load(says)
    assert worker["scheduling"]["provisioningModel"] == "STANDARD"
    validate_config(prepare_config(config))


@pytest.mark.parametrize("path", LAUNCHED, ids=name)
def test_every_node_has_the_token_and_asks_for_it(path: Path) -> None:
    config = read(path)
    assert config["file_mounts"][TOKEN] == TOKEN
    for kind in ("head", "worker"):
        stop, start = config[f"{kind}_start_ray_commands"]
        assert stop == "ray stop"
        assert start.startswith("ulimit -n 65536; RAY_AUTH_MODE=token ray start ")
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in config["head_start_ray_commands"][1]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_open_to_the_world_or_without_a_token(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"0\.0\.0\.0|::/0|LoadBalancer|NodePort|hostNetwork|hostPort", text)
    assert set(re.findall(r"RAY_AUTH_MODE=(\w+)", text)) <= {"token"}


def test_the_launched_ones_differ_only_in_their_machines() -> None:
    own = {"provider", "auth", "available_node_types", "head_node_type", "max_workers", "idle_timeout_minutes"}
    aws, *others = ({k: v for k, v in read(path).items() if k not in own | {"head_setup_commands"}} for path in LAUNCHED)
    assert others == [aws, aws]
    for remote, local in aws["file_mounts"].items():
        assert remote.startswith("~/")
        assert local == TOKEN or (ROOT / local).is_file()


@pytest.mark.parametrize("path", [AWS, GCP], ids=name)
def test_the_head_offers_nothing_to_actors(path: Path) -> None:
    config = read(path)
    types = config["available_node_types"]
    assert types.keys() == {"head", "gpu"}
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    assert types["gpu"]["resources"] == {"CPU": 4, "GPU": 1}
    assert types["gpu"]["max_workers"] == config["max_workers"]
    assert config["idle_timeout_minutes"] > 0


def test_onpremise_starts_every_machine_and_says_what_ray_needs() -> None:
    config = read(ONPREM)
    prepared = prepare_config(config)
    assert prepared["available_node_types"]["local.cluster.node"]["min_workers"] == len(config["provider"]["worker_ips"])
    for page in (ONPREM, ROOT / "docs" / "cluster.md"):
        assert "export RAY_UP_enable_autoscaler_v2=0" in page.read_text()


def test_every_version_is_that_of_the_constraints(constraints: dict[str, str]) -> None:
    elsewhere = {"pip": re.findall(r"pip==([\d.]+)", (ROOT / "Makefile").read_text())}
    for path in FILES:
        for package, version in re.findall(r"([\w-]+)==([\w.]+)", path.read_text()):
            if package != "google-api-python-client":  # needed only on Google Cloud
                assert version in elsewhere.get(package, [constraints.get(package)]), (path.name, package)
    job, _ = kuberay()
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == constraints["ray"]


def test_the_container_is_what_the_set_up_makes() -> None:
    text = CONTAINERFILE.read_text()
    assert re.search(r"^FROM docker\.io/library/python:3\.1[12]\.\d+-", text, re.MULTILINE)
    for line in re.findall(r"^COPY --chown=ray (.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
    assert "RUN bash setup.sh" in text
    script = SETUP.read_text()
    for variable in re.findall(r"^ENV (.*)$", text, re.MULTILINE)[0].split()[1:]:
        assert f"export {variable}\n" in script


def test_kuberay_has_a_token_and_grows_by_gpu_workers() -> None:
    job, _ = kuberay()
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] == 0 < workers["maxReplicas"]
    templates = [cluster["headGroupSpec"]["template"], workers["template"]]
    (head,), (worker,) = (template["spec"]["containers"] for template in templates)
    assert head["image"] == worker["image"] == "IMAGE"
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_kuberay_lets_only_the_cluster_the_submitter_and_the_operator_in() -> None:
    job, policy = kuberay()
    cluster = job["spec"]["rayClusterSpec"]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["metadata"]["labels"] == selected
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    inside, dashboard = policy["spec"]["ingress"]
    assert inside == {"from": [{"podSelector": {"matchLabels": selected}}]}
    submitter, operator = dashboard["from"]
    assert submitter == {"podSelector": {"matchLabels": {"job-name": job["metadata"]["name"]}}}
    assert operator["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert dashboard["ports"] == [{"port": 8265}]


def test_kuberay_runs_nothing_with_privileges() -> None:
    """Every container meets the restricted standard of Kubernetes' pod security, including those of the operator."""
    job, _ = kuberay()
    cluster = job["spec"]["rayClusterSpec"]
    (uid,) = re.findall(r"useradd .*--uid (\d+) ray$", CONTAINERFILE.read_text(), re.MULTILINE)
    pods = {
        "submitter": job["spec"]["submitterPodTemplate"]["spec"],
        "head": cluster["headGroupSpec"]["template"]["spec"],
        "worker": cluster["workerGroupSpecs"][0]["template"]["spec"],
    }
    for pod in pods.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(uid)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    containers = [container for pod in pods.values() for container in pod["containers"]]
    for container in (*containers, cluster["autoscalerOptions"]):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {container["image"] for container in containers} == {"IMAGE"}
    with_token = [name for name, pod in pods.items() if pod.get("automountServiceAccountToken", True)]
    assert with_token == ["head"], "the autoscaler's"
    assert re.search(rf"^USER {uid}$", CONTAINERFILE.read_text(), re.MULTILINE), (
        "a name would not tell Kubernetes that it is not root"
    )


def test_images_are_pinned() -> None:
    (base,) = re.findall(r"^FROM (.*)$", CONTAINERFILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"\S+:3\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}", base)
    for node in read(GCP)["available_node_types"].values():
        for disk in node["node_config"]["disks"]:
            assert re.fullmatch(r"projects/[\w-]+/global/images/[A-Z_]+", disk["initializeParams"]["sourceImage"]), "no family"
    for page in (KUBERAY, ROOT / "docs" / "cluster.md"):
        assert "digest" in page.read_text()


def test_kuberay_submits_a_job_with_options_that_exist() -> None:
    program, script, *arguments = shlex.split(kuberay()[0]["spec"]["entrypoint"])
    home = re.findall(r"^WORKDIR (.*)$", CONTAINERFILE.read_text(), re.MULTILINE)[0]
    assert (program, script) == ("python", f"{home}/jobs/score.py")
    score = typer.main.get_command(app).commands["score"]  # type: ignore[attr-defined]
    score.make_context("score", arguments)


def test_the_policies_allow_what_the_configuration_uses_and_little_else() -> None:
    aws = ROOT / "cluster" / "aws"
    bucket, delete, autoscaler = (
        json.loads((aws / f"{part}.json").read_text())["Statement"] for part in ("bucket", "delete", "autoscaler")
    )
    assert {statement["Resource"] for statement in bucket} == {"arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"}
    assert not [action for statement in bucket for action in statement["Action"] if "Delete" in action or "*" in action]
    assert [(statement["Action"], statement["Resource"]) for statement in delete] == [
        ("s3:DeleteObject", "arn:aws:s3:::BUCKET/*")
    ]
    types = read(AWS)["available_node_types"]
    (passed,) = [statement for statement in autoscaler if statement["Action"] == "iam:PassRole"]
    assert passed["Resource"].endswith(":role/" + types["gpu"]["node_config"]["IamInstanceProfile"]["Name"])
    for statement in autoscaler:
        actions = statement["Action"]
        if {"ec2:CreateTags", "ec2:TerminateInstances"} & set(actions if isinstance(actions, list) else [actions]):
            (equals,) = statement["Condition"].values()
            assert equals in ({"ec2:CreateAction": "RunInstances"}, {"aws:ResourceTag/ray-cluster-name": "naswot-ray"})


def test_the_set_up_script_passes_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    done = subprocess.run(["shellcheck", str(SETUP)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
