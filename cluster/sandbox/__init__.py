"""A cluster in a box: `ray up` on one machine, onto namespaces that believe they are machines."""

from cluster.sandbox.machines import unavailable
from cluster.sandbox.ray_cluster import HEAD, Sandbox

__all__ = ["HEAD", "Sandbox", "unavailable"]
