"""Supervised problems, one a file."""
