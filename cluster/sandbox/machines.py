"""The machines of the sandbox: Linux namespaces that act as machines on a network of their own.

The client is a network, mount and PID namespace that holds only a bridge. Each node is a namespace inside it, joined to the
bridge by a veth pair. It has its own host name, /tmp, /dev/shm, /run, home directory, processes and SSH server.

No address and no route leads out of this network, or into it. All machines see the same disk, so they use the same Python and,
below `shared`, the same datasets.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
CLIENT = "client"
NETWORK = "10.77.0"
"""The first three numbers of every address. The client, which is the bridge, has .1."""
START_SECONDS = 60.0
COMMANDS = ("ip", "nsenter", "pgrep", "rsync", "ssh", "ssh-keygen", "unshare")
PACKAGES = "iproute2 openssh-client openssh-server procps rsync util-linux"


def unavailable() -> str | None:
    """The reason why this machine cannot run a sandbox, on one line; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a sandbox cluster needs root on Linux"
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if not Path("/usr/sbin/sshd").exists():
        missing.append("sshd")
    if missing:
        return f"a sandbox cluster needs {', '.join(missing)}: apt-get install {PACKAGES}"
    if subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "true"], capture_output=True).returncode:
        return "a sandbox cluster needs the right to make namespaces"
    return None


class Machines:
    """A client and any number of nodes. A context manager: at its end, all their processes, mounts and namespaces are gone.

    Args:
        shared: directories below /tmp that all machines see. Otherwise each machine has its own /tmp.
        profile: lines of every node's ~/.bashrc.
    """

    def __init__(self, *, shared: Sequence[Path] = (), profile: Sequence[str] = ()) -> None:
        self._shared = shared
        self._profile = profile
        self._first: dict[str, subprocess.Popen[bytes]] = {}
        self.inits: dict[str, int] = {}
        """The first process of each machine that is up, as this process sees it."""
        self.addresses: dict[str, str] = {}
        """The address of each node that was ever started, by name. A node that comes back has the same address."""

    def __enter__(self) -> Self:
        self.state = Path(tempfile.mkdtemp(prefix="naswot-sandbox-", dir="/tmp")).resolve()
        """A directory that all machines see, removed at the end: keys, homes (`state/NAME`), logs of the SSH servers."""
        try:
            for key in ("host_key", "user_key"):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.state / key], check=True)
            self._start(CLIENT)
            for command in ("link add name bridge type bridge", f"address add {NETWORK}.1/24 dev bridge", "link set bridge up"):
                self._ip(CLIENT, command)
            self._ip(CLIENT, "link set lo up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every machine."""
        for name in reversed(list(self._first)):
            self.stop(name)
        shutil.rmtree(self.state, ignore_errors=True)

    def start(self, name: str) -> None:
        """Start a node: a new one, or one that was stopped."""
        address = self.addresses.setdefault(name, f"{NETWORK}.{11 + len(self.addresses)}")
        self._start(name)
        link, node = f"to-{name}", self.inits[name]
        self._ip(CLIENT, f"link add {link} type veth peer name eth0 netns {node}")
        self._ip(CLIENT, f"link set {link} master bridge up")
        for command in ("link set lo up", f"address add {address}/24 dev eth0", "link set eth0 up"):
            self._ip(name, command)

    def stop(self, name: str) -> None:
        """End a machine as a power cut does: its processes end at once, and its network and /tmp are gone."""
        with self._first.pop(name) as first:  # waits until the machine's first process, and so all others, have ended
            if name not in self.inits:
                first.kill()
                return
            if name != CLIENT:  # before the kill: otherwise the machine would still close its connections
                with suppress(subprocess.CalledProcessError):
                    self._ip(CLIENT, f"link delete to-{name}")
            os.kill(self.inits.pop(name), signal.SIGKILL)

    def cut(self, name: str) -> None:
        """Cut off the node's network, in both directions."""
        self._ip(CLIENT, f"link set to-{name} down")

    def mend(self, name: str) -> None:
        """Give the node's network back."""
        self._ip(CLIENT, f"link set to-{name} up")

    def command(self, name: str, *command: str | Path) -> list[str]:
        """The command line that runs a command on a machine, in the project's directory."""
        inside = ["nsenter", f"--target={self.inits[name]}", "--net", "--pid", "--mount", "--uts", "--"]
        return [*inside, "env", f"--chdir={ROOT}", *map(str, command)]

    def home(self, name: str) -> Path:
        """The machine's home directory."""
        return self.state / name

    def pids(self, name: str) -> list[int]:
        """The machine's process ids, as this process sees them, without those of machines inside it."""
        namespace = (Path("/proc") / str(self.inits[name]) / "ns" / "pid").readlink()
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and (process / "ns" / "pid").readlink() == namespace:
                    found.append(int(process.name))
            except OSError:  # it ended while we looked
                continue
        return found

    def processes(self, name: str) -> dict[int, str]:
        """The command line of each of the machine's processes. Ray's workers are called `ray::CLASS...`."""
        found = {}
        for pid in self.pids(name):
            with suppress(OSError):
                found[pid] = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def kill(self, name: str, pattern: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal, by default that of `kill -9`, to each process of a machine whose command line matches a pattern.

        Returns:
            the number of such processes.
        """
        pids = [pid for pid, command in self.processes(name).items() if re.search(pattern, command)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    @property
    def running(self) -> list[str]:
        """Names of the nodes that are up."""
        return [name for name in self._first if name != CLIENT]

    def _start(self, name: str) -> None:
        home = self.home(name)
        home.mkdir(exist_ok=True)
        (home / "up").unlink(missing_ok=True)
        lines = ["127.0.0.1 localhost", f"{NETWORK}.1 {CLIENT}", *(f"{ip} {node}" for node, ip in self.addresses.items())]
        (home / "hosts").write_text("\n".join(lines) + "\n")
        others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")]
        (home / "passwd").write_text("\n".join([f"root:x:0:0:root:{home}:/bin/bash", *others]) + "\n")
        (home / "shadow").write_text("root:*:19000:0:99999:7:::\n")  # no password, but not locked, so that SSH by key works
        (home / ".bashrc").write_text("\n".join(self._profile) + "\n")
        kept = sorted({str(p) for p in self._kept() if p.is_relative_to("/tmp")})
        unshare = ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
        command = [*unshare, "bash", str(Path(__file__).with_name("machine.sh")), str(self.state), name, *kept]
        outside = [] if name == CLIENT else self.command(CLIENT)
        # In a session of its own, so that Ctrl-C in the terminal reaches only this process, which then ends the sandbox.
        with (home / "machine.log").open("wb") as log:
            self._first[name] = first = subprocess.Popen(
                [*outside, *command],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=self.environment(name),
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not (home / "up").exists():
            if first.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the machine {name} does not start: {(home / 'machine.log').read_text().strip()}")
            time.sleep(0.01)
        # unshare's child is the machine's first process. For a node, nsenter has made one more process around it.
        pid = first.pid
        for _ in range(1 if name == CLIENT else 2):
            pid = _only_child(pid)
        self.inits[name] = pid

    def environment(self, name: str) -> Mapping[str, str]:
        """The environment of a command on a machine: nothing from this process, except that its Python is first on the PATH."""
        return {
            "HOME": str(self.home(name)),
            "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
        }

    def _kept(self) -> list[Path]:
        return [path.resolve() for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), self.state, *self._shared)]

    def _ip(self, name: str, command: str) -> None:
        namespace = ["nsenter", f"--target={self.inits[name]}", "--net", "--"]  # stays in this PID namespace, for `netns PID`
        subprocess.run([*namespace, "ip", *command.split()], check=True)


def _only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)
