"""A tracker that is a web server on loopback, and its ways of being down."""

import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_train.settings import Run
from coresr_train.tracking import courier, trackers
from coresr_train.tracking.adapters import ADAPTERS, Adapter


class Server:
    """Keeps what it was told; `fault` says how it is down, "dies" after three posts."""

    def __init__(self, fault: str = "") -> None:
        self.told: list[tuple[str, Any]] = []
        self._fault, self._gate = fault, threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._http.server_port}"
        if fault == "refuses":
            self._http.server_close()
        else:
            threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._gate.set()
        if self._fault != "refuses":
            self._http.shutdown()
            self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                down = server._fault == "500" or (server._fault == "dies" and len(server.told) == 3)
                if server._fault == "hangs":
                    server._gate.wait()
                if not down:
                    server.told.append((self.path[1:], content))
                if down and server._fault == "dies":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(500 if down else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its base names it so
                pass

        return Handler


class Fake:
    """Speaks to `Server` as a tracker's library would."""

    def __init__(self, uri: str, identity: str) -> None:
        self._uri, self.identity = uri, identity or "run-1"
        self.post("start", identity)

    def post(self, what: str, content: object) -> None:
        body = json.dumps(content).encode()
        request = urllib.request.Request(f"{self._uri}/{what}", body, method="POST")  # noqa: S310  # loopback
        with urllib.request.urlopen(request, timeout=0.5):  # noqa: S310
            pass

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.post("scalars", [step, values])

    def images(self, step: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        self.post("images", [step, {name: one.tolist() for name, one in pictures.items()}])


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """A server that "mlflow" now stands for, up or with a fault; its library counts as installed."""
    opened: list[Server] = []

    def start(fault: str = "") -> Server:
        server = Server(fault)
        opened.append(server)
        fake = Adapter(
            start=lambda run, identity: Fake(server.uri, identity),
            identity=lambda tracker: str(tracker.identity),
            config=lambda tracker, values, resumed: None if resumed else tracker.post("config", values),
            images=lambda tracker, step, pictures: tracker.images(step, pictures),
            artefact=lambda tracker, path: tracker.post("artefact", path.read_bytes().decode("latin-1")),
            finish=lambda tracker, failed: tracker.post("finish", failed),
            environment={"CORESR_TEST_TRACKER": "1", "HOME": "elsewhere", "CORESR_TEST_ITS_OWN": None},
        )
        monkeypatch.setitem(ADAPTERS, "mlflow", fake)
        monkeypatch.setattr(trackers, "_installed", lambda library: True)
        monkeypatch.setattr(courier, "PAUSE", 0.2)
        return server

    yield start
    for server in opened:
        server.close()


@pytest.fixture
def tracked(tiny_run: Run) -> Run:
    """`tiny_run` with "mlflow", in a folder that is there."""
    Path(tiny_run.out).mkdir()
    return replace(tiny_run, tracking=replace(tiny_run.tracking, to=("mlflow",)))
