"""Pluggable PyTorch learners and the published remedies against loss of plasticity."""

from agents.registry import factory, make, names, parameters

__all__ = ["factory", "make", "names", "parameters"]
