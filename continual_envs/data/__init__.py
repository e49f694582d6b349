"""Image data sets: found, fetched, verified and loaded as arrays."""

from continual_envs.data.errors import DataCorrupt, DataNotFound
from continual_envs.data.images import Images, load
from continual_envs.data.store import Location, fetch, locate, names, verify

__all__ = [
    "DataCorrupt",
    "DataNotFound",
    "Images",
    "Location",
    "fetch",
    "load",
    "locate",
    "names",
    "verify",
]
