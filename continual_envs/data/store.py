"""Where the data files are: `$CONTINUAL_ENVS_DATA`, then the cache folder, then a download.

A file counts only if the SHA-256 of its uncompressed bytes is the published one, so every layout
gives the same data; a file that is there but differs is an error and is never replaced. The sets
of `CATALOG` are found here; the sets of image classes have modules of their own and share `places`
and `download`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from continual_envs.checks import one_of
from continual_envs.data import idx
from continual_envs.data.catalog import CATALOG, MIRRORS, File
from continual_envs.data.errors import DataCorrupt, DataNotFound

DATA_VARIABLE = "CONTINUAL_ENVS_DATA"
OFFLINE_VARIABLE = "CONTINUAL_ENVS_OFFLINE"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Location:
    """Where a data set was found.

    Attributes:
        name: of the data set.
        origin: `package`, `CONTINUAL_ENVS_DATA` or `cache`.
        files: one path for each file of the data set, in the catalogue's order.
    """

    name: str
    origin: str
    files: tuple[Path, ...]


def names() -> tuple[str, ...]:
    """Return the names of the labelled images that `load` returns."""
    return tuple(CATALOG)


def places(folders: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield (origin, folder) for `folders` of `$CONTINUAL_ENVS_DATA`, then of the cache.

    Raises:
        DataNotFound: if `$CONTINUAL_ENVS_DATA` is set to something that is not a folder.
    """
    user = _user_folder()
    if user:
        yield from ((DATA_VARIABLE, user / folder) for folder in folders)
    yield from (("cache", cache_folder() / folder) for folder in folders)


def whole_folder(name: str, folders: Iterable[str], files: Sequence[str]) -> Location | None:
    """Return the first of the places that has all `files`, or None; opens none of them."""
    for origin, folder in places(folders):
        if folder.is_dir() and set(files) <= set(os.listdir(folder)):
            return Location(name, origin, tuple(folder / file for file in files))
    return None


def cache_folder() -> Path:
    """Return the folder of the user's cache that downloads go to, one folder a data set in it."""
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("continual-envs"))


def offline() -> bool:
    """Return whether `$CONTINUAL_ENVS_OFFLINE` forbids downloads."""
    return os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0")


def locate(name: str) -> Location | None:
    """Return where the files of a data set are, or None; downloads nothing.

    Files in a folder of the data set's own are not opened. Files directly in
    `$CONTINUAL_ENVS_DATA` could be another set's (their names are the same), so they are taken
    only if their checksums are right.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if `$CONTINUAL_ENVS_DATA` is set to something that is not a folder.
        DataCorrupt: if a file directly in `$CONTINUAL_ENVS_DATA` is damaged.
    """
    files = CATALOG[one_of("dataset", name, CATALOG)].files
    for origin, folder, named in _places(name):
        paths = tuple(path for file in files if (path := _find(folder, file)))
        if len(paths) < len(files):
            continue
        if named or all(
            _sha256(_content(path, file)) == file.sha256
            for path, file in zip(paths, files, strict=True)
        ):
            return Location(name, origin, paths)
    return None


def obtain(name: str) -> Location:
    """Return where the files of a data set are, after downloading them if they are nowhere.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if the files are nowhere and `$CONTINUAL_ENVS_OFFLINE` is set or the
            download failed.
        DataCorrupt: if the mirror sent something else than the published file.
    """
    location = locate(name)
    if location:
        return location
    if offline():
        raise _not_found(name, f"{OFFLINE_VARIABLE} is set")
    return _download(name)


def read(location: Location) -> list[bytes]:
    """Return the uncompressed bytes of each file, verified.

    Raises:
        DataCorrupt: if a file is damaged or is not the published one.
    """
    contents = []
    for path, file in zip(location.files, CATALOG[location.name].files, strict=True):
        contents.append(_content(path, file))
        found = _sha256(contents[-1])
        if found != file.sha256:
            raise _corrupt(path, file, f"sha256 {found}")
    return contents


def fetch(name: str) -> Location:
    """Download a data set into the cache folder unless it is somewhere already, and verify it.

    Returns:
        Where the files are.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: see `obtain`.
        DataCorrupt: if a file, or what the mirror sent, is not the published one.
    """
    location = obtain(name)
    read(location)
    return location


def verify(name: str) -> Location:
    """Compare the files of a data set with the published checksums; downloads nothing.

    Returns:
        Where the verified files are.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if the files are nowhere.
        DataCorrupt: if a file is damaged or is not the published one.
    """
    location = locate(name)
    if location is None:
        raise _not_found(name, "nothing to verify")
    read(location)
    return location


def _places(name: str) -> Iterator[tuple[str, Path, bool]]:
    """Yield (origin, folder, whether the folder is this data set's own) in the order of look-up."""
    folders = CATALOG[name].folders
    if not folders:
        yield "package", Path(__file__).parent, True
        return
    user = _user_folder()
    if user:
        for folder in folders:
            yield DATA_VARIABLE, user / folder, True
        yield DATA_VARIABLE, user, False
    yield "cache", cache_folder() / name, True


def _user_folder() -> Path | None:
    value = os.environ.get(DATA_VARIABLE)
    if value and not Path(value).is_dir():
        raise DataNotFound(f"{DATA_VARIABLE}: {value!r} is not a folder; correct it or unset it")
    return Path(value) if value else None


def _find(folder: Path, file: File) -> Path | None:
    candidates = (folder / file.name, folder / f"{file.name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path, file: File) -> bytes:
    """Return the uncompressed bytes of a file whose structure is sound."""
    try:
        content = idx.unzip(path.read_bytes())
        if file.name.endswith("-ubyte"):
            idx.parse(content)
    except ValueError as error:
        raise _corrupt(path, file, str(error)) from error
    return content


def _download(name: str) -> Location:
    folder = cache_folder() / name
    paths = []
    for file in CATALOG[name].files:
        path = _find(folder, file) or folder / f"{file.name}.gz"
        url = MIRRORS[name] + f"{file.name}.gz"
        # A file that is there is left alone: pooch would replace one with a wrong checksum.
        if not path.exists():
            try:
                download(url, file.md5, path)
            except OSError as error:
                raise _not_found(name, str(error)) from error
        paths.append(path)
    return Location(name, "cache", tuple(paths))


def download(url: str, md5: str, path: Path) -> None:
    """Write the file at `url` to `path`.

    Raises:
        OSError: one line, if there is no answer, or `path` cannot be written.
        DataCorrupt: if its checksum is another; nothing is kept.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)
    try:
        pooch.retrieve(url, f"md5:{md5}", path.name, path.parent, downloader=downloader)
    except OSError as error:  # what requests raises, and a cache that cannot be written
        raise OSError(f"download of {url} failed ({type(error).__name__})") from error
    except ValueError as error:  # pooch's checksum failure; it keeps nothing
        line = str(error).partition(". Deleted")[0]
        raise DataCorrupt(f"{url}: {line}; nothing was kept") from error


def _not_found(name: str, why: str) -> DataNotFound:
    files = " and ".join(f"{file.name}[.gz]" for file in CATALOG[name].files)
    folders = ", ".join(str(folder) for _, folder, _ in _places(name))
    return DataNotFound(
        f"{name}: {files} not found in {folders}; {why}; with a network run "
        f"`continual-envs data fetch {name}`, or set {DATA_VARIABLE} to a folder that has them"
    )


def _corrupt(path: Path, file: File, found: str) -> DataCorrupt:
    return DataCorrupt(
        f"{path}: not the published file; uncompressed sha256 expected {file.sha256}, "
        f"found {found}; delete the file to have it fetched again"
    )
