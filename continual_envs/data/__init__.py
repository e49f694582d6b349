"""Image data sets: found, fetched, verified and loaded as arrays."""

from continual_envs.data.cifar import Cifar100, cifar100
from continual_envs.data.classes import ClassImages, ImageClasses, image_classes
from continual_envs.data.errors import DataCorrupt, DataNotFound
from continual_envs.data.images import Images, load
from continual_envs.data.sets import all_names, fetch, locate, verify
from continual_envs.data.store import Location, names

__all__ = [
    "Cifar100",
    "ClassImages",
    "DataCorrupt",
    "DataNotFound",
    "ImageClasses",
    "Images",
    "Location",
    "all_names",
    "cifar100",
    "fetch",
    "image_classes",
    "load",
    "locate",
    "names",
    "verify",
]
