"""The grid of a run: its points and shards, which of its rows a dataset holds, and the settings that rows depend on.

This package imports neither torch nor Ray.
"""
