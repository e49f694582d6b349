"""The two ways in which data files can fail; every message is one line."""

from __future__ import annotations


class DataNotFound(FileNotFoundError):
    """The files of a data set are nowhere and could not be downloaded."""


class DataCorrupt(ValueError):
    """A data file is there but is not the published one."""
