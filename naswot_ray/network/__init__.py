"""Architectures as graphs of plain operations, and what follows from them. No torch here."""

from naswot_ray.network.graph import Network, NetworkBuilder, Node

__all__ = ["Network", "NetworkBuilder", "Node"]
