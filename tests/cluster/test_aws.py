"""`ray up ray-cluster.yaml` against a simulated AWS, and what the head then starts. Commands on nodes are recorded, not run."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private import commands
from ray.autoscaler._private.aws import config as aws_config
from ray.autoscaler._private.aws import node_provider
from ray.autoscaler._private.aws.utils import client_cache, resource_cache
from ray.autoscaler.tags import NODE_KIND_HEAD, NODE_KIND_WORKER, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from tests.cluster.configs import AWS, ROOT, on_demand, read

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # Ray leaves this to the garbage collector

REGION = read(AWS)["provider"]["region"]
ADDRESS = "203.0.113.7/32"
WORLD = {"0.0.0.0/0", "::/0"}


@dataclass
class Shell:
    """Replaces `subprocess`: every command succeeds and is recorded. This home directory serves as the head's as well."""

    commands: list[str] = field(default_factory=list)
    PIPE = DEVNULL = None
    CalledProcessError = subprocess.CalledProcessError

    def check_call(self, command: list[str], **_: Any) -> int:
        self.commands.append(" ".join(command))
        target = command[-1].partition(":~/")[2]
        if target.startswith("ray_bootstrap_"):  # the configuration and the key that the autoscaler uses
            shutil.copy(command[-2], Path.home() / target)
        return 0

    def check_output(self, command: list[str], **_: Any) -> bytes:
        self.check_call(command)
        return b""

    @property
    def bootstrap(self) -> dict[str, Any]:
        """The configuration as the autoscaler on the head reads it."""
        config: dict[str, Any] = json.loads((Path.home() / "ray_bootstrap_config.yaml").read_text())
        return config

    def position(self, part: str) -> int:
        """Return the position of the one recorded command that contains the part."""
        (found,) = [i for i, command in enumerate(self.commands) if part in command]
        return found


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty AWS account, and a home directory with a token."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("t" * 64)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(home))
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setattr(tempfile, "tempdir", str(home))  # Ray stores what it knows about an account here
        patch.setattr(node_provider, "TAG_BATCH_DELAY", 0)
        instance_types = functools.cache(node_provider.list_ec2_instances)  # takes seconds
        patch.setattr(node_provider, "list_ec2_instances", lambda region, credentials=None: instance_types(REGION))
        patch.setattr(commands, "POLL_INTERVAL", 0)
        patch.chdir(ROOT)
        for cache in (resource_cache, client_cache, aws_config._get_subnets_or_die):
            cache.cache_clear()
        yield


@pytest.fixture(scope="module")
def group(account: None) -> str:
    """Prepare the account as docs/cluster.md says, and return the id of the security group."""
    ec2, iam = boto3.client("ec2", REGION), boto3.client("iam", REGION)
    group: str = ec2.create_security_group(GroupName="naswot-ray", Description="naswot-ray")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": ADDRESS}]},
        ],
    )
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    for name in ("naswot-ray-head", "naswot-ray-gpu"):
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "SecurityGroupIds": [group]})
    for role in ("naswot-ray-head", "naswot-ray-worker"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=(ROOT / "cluster" / "aws" / "trust.json").read_text())
        iam.create_instance_profile(InstanceProfileName=role)
        iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    return group


def up(config: dict[str, Any]) -> Shell:
    """Run `ray up --yes` with this shell for the commands on the head."""
    shell = Shell()
    runner: Any = shell  # Ray's annotation says that this is a module
    resolved = commands._bootstrap_config(config, no_config_cache=True)
    commands.get_or_create_head_node(resolved, AWS.name, False, False, True, None, _runner=runner)
    return shell


@pytest.fixture(scope="module")
def shell(group: str) -> Shell:
    return up(read(AWS))


def provider(config: dict[str, Any]) -> node_provider.AWSNodeProvider:
    return node_provider.AWSNodeProvider(config["provider"], config["cluster_name"])


def start_worker(config: dict[str, Any]) -> dict[str, Any]:
    """Do what the autoscaler does for a worker, with the configuration that `ray up` puts on the head."""
    tags = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_USER_NODE_TYPE: "gpu"}
    (instance_id,) = provider(config).create_node(config["available_node_types"]["gpu"]["node_config"], tags, 1)
    return describe(instance_id)


def describe(instance_id: str) -> dict[str, Any]:
    reply = boto3.client("ec2", REGION).describe_instances(InstanceIds=[instance_id])
    instance: dict[str, Any] = reply["Reservations"][0]["Instances"][0]
    return instance


def head_id(config: dict[str, Any]) -> str:
    (instance_id,) = provider(config).non_terminated_nodes({TAG_RAY_NODE_KIND: NODE_KIND_HEAD})
    return str(instance_id)


def test_an_account_that_is_not_prepared_gets_nothing_open_and_nothing_started(account: None) -> None:
    config, other = read(AWS), "eu-west-1"
    config["provider"]["region"] = other
    with pytest.raises(botocore.exceptions.ClientError, match="launch template, with template name naswot-ray-gpu, does not"):
        up(config)
    ec2 = boto3.client("ec2", other)
    assert not ec2.describe_instances()["Reservations"]
    assert {g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"]} == {"default"}


def test_the_head_has_no_gpu_and_is_not_a_spot_instance(shell: Shell, group: str) -> None:
    head = describe(head_id(shell.bootstrap))
    assert head["InstanceType"] == "m6i.xlarge"
    assert "InstanceLifecycle" not in head
    assert head["IamInstanceProfile"]["Arn"].endswith("/naswot-ray-head")
    assert [g["GroupId"] for g in head["SecurityGroups"]] == [group]
    assert head["MetadataOptions"]["HttpTokens"] == "required"
    start = shell.commands[shell.position("ray start")]
    assert """{"CPU":0,"GPU":0}""" in start


def test_files_and_set_up_come_before_ray_starts(shell: Shell) -> None:
    start = shell.position("ray start")
    assert shell.position(":~/.ray/auth_token") < shell.position("(bash ~/naswot-ray/setup.sh)") < start
    assert shell.position("(bash ~/naswot-ray/setup.sh boto3)") < start
    assert "RAY_AUTH_MODE=token ray start --head" in shell.commands[start]
    assert "--disable-usage-stats" in shell.commands[start]


def test_nothing_is_open_to_the_world(shell: Shell, group: str) -> None:
    start_worker(shell.bootstrap)
    ec2 = boto3.client("ec2", REGION)
    groups = {g["GroupId"]: g["IpPermissions"] for g in ec2.describe_security_groups()["SecurityGroups"]}
    inside, ssh = sorted(groups[group], key=lambda rule: rule["IpProtocol"])
    assert [pair["GroupId"] for pair in inside["UserIdGroupPairs"]] == [group]
    assert not inside["IpRanges"]
    assert (ssh["FromPort"], ssh["ToPort"], ssh["IpRanges"]) == (22, 22, [{"CidrIp": ADDRESS}])
    open_to = {r["CidrIp"] for rules in groups.values() for rule in rules for r in rule["IpRanges"]}
    open_to |= {r["CidrIpv6"] for rules in groups.values() for rule in rules for r in rule["Ipv6Ranges"]}
    assert not open_to & WORLD


def test_the_head_starts_spot_workers_with_a_gpu(shell: Shell, group: str) -> None:
    worker = start_worker(shell.bootstrap)
    assert worker["InstanceType"] == "g5.xlarge"
    assert worker["InstanceLifecycle"] == "spot"
    assert worker["IamInstanceProfile"]["Arn"].endswith("/naswot-ray-worker")
    assert [g["GroupId"] for g in worker["SecurityGroups"]] == [group]
    assert worker["SubnetId"] in shell.bootstrap["available_node_types"]["gpu"]["node_config"]["SubnetIds"]
    assert set(shell.bootstrap["file_mounts"].values()) == set(read(AWS)["file_mounts"])


def test_workers_offer_what_their_instances_have(account: None) -> None:
    for node in read(AWS)["available_node_types"].values():
        (kind,) = boto3.client("ec2", REGION).describe_instance_types(InstanceTypes=[node["node_config"]["InstanceType"]])[
            "InstanceTypes"
        ]
        gpus = sum(gpu["Count"] for gpu in kind.get("GpuInfo", {"Gpus": []})["Gpus"])
        assert node["resources"]["GPU"] == gpus
        assert node["resources"]["CPU"] in {0, kind["VCpuInfo"]["DefaultVCpus"]}


def test_on_demand_by_one_switch(group: str) -> None:
    config = yaml.safe_load(on_demand(AWS.read_text()))
    worker = start_worker(commands._bootstrap_config(config, no_config_cache=True))
    assert worker["InstanceType"] == "g5.xlarge"
    assert "InstanceLifecycle" not in worker


@pytest.mark.parametrize(("actors", "gpus", "nodes"), [(8, 1.0, 8), (8, 0.5, 4), (3, 0.25, 1), (40, 1.0, 8), (9, 0.0, 3)])
def test_actors_that_wait_make_workers_start(shell: Shell, actors: int, gpus: float, nodes: int) -> None:
    demand = {"CPU": 1.0} | ({"GPU": gpus} if gpus else {})
    config = AutoscalingConfig(shell.bootstrap, skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(demand)] * actors),
    )
    reply = ResourceDemandScheduler().schedule(request)
    assert {launch.instance_type: launch.count for launch in reply.to_launch} == {"gpu": nodes}


def test_instances_that_go_are_ended_not_kept(shell: Shell) -> None:
    worker = start_worker(shell.bootstrap)["InstanceId"]
    provider(shell.bootstrap).terminate_nodes([worker])
    assert describe(worker)["State"]["Name"] in {"shutting-down", "terminated"}


def test_the_heads_policy_allows_what_its_autoscaler_calls(shell: Shell) -> None:
    aws, called = provider(shell.bootstrap), set()

    def note(model: Any, **_: Any) -> None:
        called.add(f"ec2:{model.name}")

    for client in (aws.ec2.meta.client, aws.ec2_fail_fast.meta.client):
        client.meta.events.register("before-call.ec2", note)
    tags = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_USER_NODE_TYPE: "gpu"}
    (worker,) = aws.create_node(shell.bootstrap["available_node_types"]["gpu"]["node_config"], tags, 1)
    assert worker in aws.non_terminated_nodes({})
    aws.set_node_tags(worker, {"ray-node-status": "up-to-date"})
    assert aws.internal_ip(worker)
    aws.terminate_node(worker)
    statements = json.loads((ROOT / "cluster" / "aws" / "autoscaler.json").read_text())["Statement"]
    allowed = {a for s in statements for a in (s["Action"] if isinstance(s["Action"], list) else [s["Action"]])}
    assert {"ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances"} < called <= allowed


def test_ray_down_ends_workers_whose_head_is_gone(shell: Shell) -> None:
    worker, head = start_worker(shell.bootstrap)["InstanceId"], head_id(shell.bootstrap)
    boto3.client("ec2", REGION).terminate_instances(InstanceIds=[head])
    commands.teardown_cluster(AWS.name, True, False, None, False)
    assert describe(worker)["State"]["Name"] in {"shutting-down", "terminated"}
    assert not provider(shell.bootstrap).non_terminated_nodes({})
    up(read(AWS))
    assert head_id(shell.bootstrap) != head
