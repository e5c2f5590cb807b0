"""Figures of a dataset: one module a figure, each drawn from arrays alone."""
