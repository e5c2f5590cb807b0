"""Architectures as graphs of plain operations, and what can be derived from the graphs. Does not need torch."""

from naswot_ray.network.graph import Network, NetworkBuilder, Node

__all__ = ["Network", "NetworkBuilder", "Node"]
