"""Fixtures of the data tests: nothing of the user's in sight, and a mirror on this machine."""

from __future__ import annotations

import functools
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from continual_envs.data import cifar, classes, images, store


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, no variables set, no network, nothing loaded yet."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda project: folder)
    monkeypatch.delenv("CONTINUAL_ENVS_DATA", raising=False)
    monkeypatch.delenv("CONTINUAL_ENVS_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in store.MIRRORS:
        monkeypatch.setitem(store.MIRRORS, name, f"http://127.0.0.1:{closed_port()}/")
    monkeypatch.setattr(cifar, "URL", f"http://127.0.0.1:{closed_port()}/cifar.tar.gz")
    memories = (images.load, cifar.cifar100, classes._opened)
    for memory in memories:
        memory.cache_clear()
    yield folder
    for memory in memories:
        memory.cache_clear()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """A function that serves a folder on 127.0.0.1 and returns its URL."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    def start(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
