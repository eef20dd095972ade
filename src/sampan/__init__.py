"""Sampan: a container platform in Python. See docs/architecture.md for the map of the layers."""

__version__ = "0.1.0"
