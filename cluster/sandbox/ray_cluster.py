"""A Ray cluster on the machines of the sandbox, started by `ray up` with cluster/onprem.yaml."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from cluster.sandbox.machines import CLIENT, ROOT, Machines

HEAD = "head"
CONFIG = ROOT / "cluster" / "onprem.yaml"
UP_SECONDS = 240.0
JOIN_SECONDS = 240.0
DASHBOARD = "http://127.0.0.1:8265"
"""The head's dashboard, through the client's tunnel, as with `ray dashboard`."""

_ALIVE = f"""
import json, pathlib, sys, urllib.request
token = pathlib.Path("~/.ray/auth_token").expanduser().read_text()
request = urllib.request.Request("{DASHBOARD}/nodes?view=summary", headers={{"Authorization": "Bearer " + token}})
nodes = json.load(urllib.request.urlopen(request, timeout=10))["data"]["summary"]
json.dump(sorted(node["hostname"] for node in nodes if node["raylet"]["state"] == "ALIVE"), sys.stdout)
"""


class Sandbox:
    """A head and workers with token authentication. A context manager: entering it starts the machines, `ray_up` the cluster.

    Args:
        num_workers: number of machines besides the head.
        head_cpus: logical CPUs of the head. Each is room for one actor; with 0 the head runs only drivers.
        worker_cpus: logical CPUs of each worker.
        shared: directories below /tmp that all machines see, such as the one of the dataset.
        environment: environment variables for Ray on the nodes.
    """

    def __init__(
        self,
        num_workers: int = 2,
        *,
        head_cpus: int = 0,
        worker_cpus: int = 1,
        shared: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.workers = [f"worker-{i + 1}" for i in range(num_workers)]
        """The machines that the configuration names; `add_node` makes more."""
        self._cpus = {HEAD: head_cpus}
        self._worker_cpus = worker_cpus
        variables = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", **(environment or {})}
        path = f'export PATH="{Path(sys.prefix) / "bin"}:$PATH"'
        self.machines = Machines(shared=shared, profile=[path, *(f"export {k}='{v}'" for k, v in variables.items())])
        self._tunnel: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.machines.__enter__()
        try:
            for name in (HEAD, *self.workers):
                self.machines.start(name)
            token = self.machines.home(CLIENT) / ".ray" / "auth_token"
            token.parent.mkdir()
            token.write_text(secrets.token_hex(32))
            token.chmod(0o600)
            self.config.write_text(yaml.safe_dump(self._configuration()))
            self._make_names_known_to_ssh()
        except BaseException:
            self.machines.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the cluster and its machines, whatever state they are in. A second call does nothing."""
        self._close_tunnel()
        self.machines.close()

    @property
    def config(self) -> Path:
        """The path of the configuration for `ray up`."""
        return self.machines.home(CLIENT) / "cluster.yaml"

    def popen(self, *command: str | Path, output: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start a command on the client. Its standard output and error both go, as text, to a pipe or an open file."""
        return subprocess.Popen(
            self.machines.command(CLIENT, *command),
            env={**self.machines.environment(CLIENT), **self.client_environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *command: str | Path, timeout: float = UP_SECONDS) -> tuple[int, str]:
        """Run a command on the client. Returns its exit status and everything it printed."""
        with self.popen(*command) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return process.returncode, output

    def ray_up(self) -> None:
        """Run `ray up`, and wait until all workers have joined."""
        self._check("ray", "up", "--yes", "--no-config-cache", self.config)
        self._open_tunnel()
        self.wait_for_nodes([HEAD, *self.workers])

    def ray_down(self) -> None:
        """Run `ray down`, and `ray stop` on each worker, as docs/cluster.md says. Then no machine runs Ray any more."""
        self._check("ray", "down", "--yes", self.config)
        for name in self.machines.running:
            if name != HEAD:
                self._check(*self._ssh(name), "ray stop")

    def submit(self, *command: str, output: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Run `ray job submit --working-dir . -- COMMAND...` on the client."""
        return self.popen("ray", "job", "submit", "--working-dir", ROOT, "--", *command, output=output)

    def alive(self) -> list[str]:
        """Host names of the nodes that Ray considers alive. Empty while no head answers."""
        status, output = self.run(sys.executable, "-c", _ALIVE)
        names: list[str] = json.loads(output) if status == 0 else []
        return names

    def wait_for_nodes(self, names: Sequence[str]) -> None:
        """Wait until exactly these nodes are alive."""
        deadline = time.monotonic() + JOIN_SECONDS
        while (alive := self.alive()) != sorted(names):
            if time.monotonic() > deadline:
                raise TimeoutError(f"alive are {alive}, not {sorted(names)}")
            time.sleep(1)

    def add_node(self, name: str) -> None:
        """Start a machine that the configuration does not name, and join it to the cluster like a worker that it names."""
        self.machines.start(name)
        self.join(name)

    def join(self, name: str) -> None:
        """Start Ray on a worker, with the commands of the configuration."""
        (self.machines.home(name) / ".ray").mkdir(exist_ok=True)
        token = self.machines.home(name) / ".ray" / "auth_token"
        token.write_bytes((self.machines.home(CLIENT) / ".ray" / "auth_token").read_bytes())
        start = "; ".join(self._configuration()["worker_start_ray_commands"])
        script = f"source ~/.bashrc; export RAY_HEAD_IP={self.machines.addresses[HEAD]}; {start}"
        self._check(*self._ssh(name), script)

    def kill_raylet(self, name: str) -> None:
        """Kill the node's raylet with `kill -9`. Ray loses the node, but the machine stays up."""
        if not self.machines.kill(name, r"^\S*/raylet "):
            raise RuntimeError(f"no raylet on {name}")

    def kill_node(self, name: str) -> None:
        """Cut the power of the whole machine. `machines.start` starts it again."""
        self.machines.stop(name)

    @property
    def client_environment(self) -> Mapping[str, str]:
        """The variables that a person exports before `ray up` and `ray job submit`."""
        return {
            "RAY_UP_enable_autoscaler_v2": "0",  # with the default, Ray 2.60 starts only some of the workers
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_API_SERVER_ADDRESS": DASHBOARD,
        }

    def _check(self, *command: str | Path) -> None:
        status, output = self.run(*command)
        if status:
            raise RuntimeError(f"{' '.join(map(str, command))} failed with status {status}:\n{output}")

    def _configuration(self) -> dict[str, Any]:
        """cluster/onprem.yaml, filled in as a person would, but without set-up, as the machines share this Python already."""
        config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
        addresses = self.machines.addresses
        config["cluster_name"] = self.machines.state.name  # Ray derives the names of a cluster's files from it
        config["provider"] |= {"head_ip": addresses[HEAD], "worker_ips": [addresses[name] for name in self.workers]}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.machines.state / "user_key")}
        config["setup_commands"] = []
        for key, cpus in (("head", self._cpus[HEAD]), ("worker", self._worker_cpus)):
            size = f"--num-cpus={cpus} --object-store-memory=100000000"
            commands = config[f"{key}_start_ray_commands"]
            config[f"{key}_start_ray_commands"] = [c.replace("ray start", f"ray start {size}") for c in commands]
        return config

    def _make_names_known_to_ssh(self) -> None:
        """Write the SSH configuration of the client, so that a person there can run `ssh head`."""
        options = ["StrictHostKeyChecking no", "UserKnownHostsFile /dev/null", "LogLevel ERROR"]
        hosts = [f"Host {name}\n  HostName {address}" for name, address in self.machines.addresses.items()]
        lines = [*hosts, "Host *", *(f"  {option}" for option in options), f"  IdentityFile {self.machines.state / 'user_key'}"]
        directory = self.machines.home(CLIENT) / ".ssh"
        directory.mkdir(mode=0o700)
        (directory / "config").write_text("\n".join(lines) + "\n")
        (directory / "config").chmod(0o600)

    def _ssh(self, name: str) -> list[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ServerAliveInterval=5"]
        flags = [flag for option in options for flag in ("-o", option)]
        return ["ssh", *flags, "-i", str(self.machines.state / "user_key"), f"root@{self.machines.addresses[name]}"]

    def _open_tunnel(self) -> None:
        self._close_tunnel()
        ssh, *options = self._ssh(HEAD)
        command = self.machines.command(CLIENT, ssh, "-N", "-L", "8265:127.0.0.1:8265", *options)
        self._tunnel = subprocess.Popen(command, env=self.machines.environment(CLIENT), stdin=subprocess.DEVNULL)

    def _close_tunnel(self) -> None:
        if self._tunnel is not None:
            self._tunnel.kill()
            self._tunnel.wait()
            self._tunnel = None
