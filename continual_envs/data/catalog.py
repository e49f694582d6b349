"""The data sets: their files, published checksums, mirrors and the folders people keep them in."""

from __future__ import annotations

from dataclasses import dataclass

MIRRORS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
        "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/"
    ),
}


@dataclass(frozen=True)
class File:
    """One file: its name without `.gz`, and its checksums.

    Attributes:
        name: the uncompressed file's name.
        sha256: of the uncompressed bytes.
        md5: of the published `.gz`, what a download is checked against.
    """

    name: str
    sha256: str
    md5: str = ""


@dataclass(frozen=True)
class Dataset:
    """The files of a data set, and the folders under `$CONTINUAL_ENVS_DATA` they may stand in.

    A data set without folders is part of this package.
    """

    files: tuple[File, ...]
    folders: tuple[str, ...] = ()


CATALOG = {
    "mnist": Dataset(
        (
            File(
                "train-images-idx3-ubyte",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            ),
            File(
                "train-labels-idx1-ubyte",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "d53e105ee54ea40749a09fcbcd1e9432",
            ),
        ),
        ("mnist", "MNIST/raw"),
    ),
    "fashion_mnist": Dataset(
        (
            File(
                "train-images-idx3-ubyte",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            ),
            File(
                "train-labels-idx1-ubyte",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "25c81989df183df01b3e8a0aad5dffbe",
            ),
        ),
        ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
    ),
    "digits": Dataset(
        (
            File(
                "digits.csv",
                "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
            ),
        )
    ),
}
