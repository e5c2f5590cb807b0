"""The dataset that runs fill and people read: its schema, layout, storage, parts and joins.

This package imports neither torch nor Ray.
"""
