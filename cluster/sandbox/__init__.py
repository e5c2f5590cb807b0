"""A cluster on one machine: `ray up` starts it on Linux namespaces, each of which acts as a machine."""

from cluster.sandbox.machines import unavailable
from cluster.sandbox.ray_cluster import HEAD, Sandbox

__all__ = ["HEAD", "Sandbox", "unavailable"]
