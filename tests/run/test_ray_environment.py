"""What is set for Ray before it is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from naswot_ray.run import ray_environment


@pytest.fixture(autouse=True)
def ray_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.delitem(sys.modules, "ray", raising=False)


def test_the_address_is_the_option_or_the_jobs_or_local() -> None:
    assert ray_environment.resolve(None) == "local"
    os.environ["RAY_ADDRESS"] = "10.0.0.1:6379"
    assert ray_environment.resolve(None) == "10.0.0.1:6379"
    assert ray_environment.resolve("auto") == "auto"


def test_a_ray_of_ones_own_gets_a_token_that_no_file_keeps() -> None:
    ray_environment.prepare("local")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def node_address(address: str) -> str:
    """The address to which the installed Ray would bind its servers on a machine with an address of its own."""
    code = """
import sys
from naswot_ray.run import ray_environment
ray_environment.prepare(sys.argv[1])
from ray._private import services
services.node_ip_address_from_perspective = lambda address=None: "192.0.2.2"
print(services.get_node_ip_address())
"""
    return subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, check=True).stdout.strip()


def test_a_ray_of_ones_own_is_on_the_loopback_alone() -> None:
    assert node_address("local") == "127.0.0.1"
    assert node_address("10.0.0.1:6379") == "192.0.2.2"


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379"])
def test_the_token_of_a_cluster_is_left_to_the_user(address: str) -> None:
    ray_environment.prepare(address)
    assert "RAY_AUTH_MODE" not in os.environ


def test_what_the_user_has_set_stays() -> None:
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "1"}
    ray_environment.prepare("local")
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert "RAY_AUTH_TOKEN" not in os.environ
