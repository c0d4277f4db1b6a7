"""A real MLflow: its server on loopback, up and killed, and its database in the run folder. Run `nox -s trackers`."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator

from coresr_train.settings import Run, Tracking
from coresr_train.tracking import Trackers, adapters, trackers

pytestmark = [
    pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed; run nox -s trackers"),
    pytest.mark.filterwarnings("ignore"),  # of its libraries
]

PATIENCE = 180
"""Seconds for its server to start, which it does in six on an idle machine."""


class Server:
    """`mlflow server` on loopback, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        kept = [
            "--backend-store-uri",
            f"sqlite:///{folder / 'server.db'}",
            "--artifacts-destination",
            str(folder / "a"),
        ]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *kept]
        with (folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", "1"],
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < until, (folder / "server.log").read_text()
            assert self._process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):  # noqa: S310  # loopback
                return True
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server"))
    yield one
    one.kill()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # a busy machine takes its time over the database
    monkeypatch.setattr(trackers, "CLOSE_SECONDS", 120.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setattr(adapters, "ANSWER_SECONDS", 30.0)


@pytest.fixture
def run(tiny_run: Run) -> Callable[..., Run]:
    Path(tiny_run.out).mkdir()
    return lambda uri, project="rocks": replace(tiny_run, tracking=Tracking(to=("mlflow",), uri=uri, project=project))


def tell(run: Run, steps: range, *, failed: bool = False) -> None:
    file = Path(run.out) / "last.safetensors"
    file.write_bytes(b"weights")
    told = Trackers(run, {"data": {"sha256": "abc"}}, Accelerator(cpu=True))
    for step in steps:
        told.scalars(step, {"sr/l1": 1 / step, "diverged": float("nan")})
    told.images(steps[-1], {"slice 3: LR, SR, HR": np.arange(24, dtype=np.uint8).reshape(4, 6)})
    told.artefact(file)
    told.close(failed=failed)


def kept(uri: str, project: str = "rocks") -> Any:
    """The only run that MLflow holds of a project, and its client."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (experiment,) = client.search_experiments(filter_string=f"name = '{project}'")
    (one,) = client.search_runs([experiment.experiment_id])
    return one, client


def files(client: Any, identity: str, folder: str | None = None) -> list[str]:
    return sorted(one.path for one in client.list_artifacts(identity, folder))


def check(uri: str, run: Run, *, steps: int) -> None:
    one, client = kept(uri)
    assert one.info.run_name == Path(run.out).name
    assert one.info.status == "FINISHED"
    assert one.data.params["data.sha256"] == "abc"
    assert one.data.params["run.optim.learning_rate"] == str(run.optim.learning_rate)
    history = client.get_metric_history(one.info.run_id, "sr/l1")
    assert {point.step: point.value for point in history} == {step: 1 / step for step in range(1, steps + 1)}
    assert np.isnan(one.data.metrics["diverged"])
    assert files(client, one.info.run_id) == ["images", "last.safetensors"]
    images = [path for path in files(client, one.info.run_id, "images") if path.endswith(".png")]
    assert len(images) == 1
    assert images[0].startswith("images/slice 3_ LR, SR, HR".replace(",", "_"))


def test_a_server_holds_run_scalars_images_and_artefact(
    server: Server, run: Callable[..., Run], capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    tell(run(server.uri), range(1, 21))
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    check(server.uri, run(server.uri), steps=20)


def test_a_server_killed_in_the_middle_costs_one_line(
    server: Server, run: Callable[..., Run], capfd: pytest.CaptureFixture[str]
) -> None:
    told = Trackers(run(server.uri, "killed"), {}, Accelerator(cpu=True))
    told.scalars(1, {"loss": 1.0})
    until = time.monotonic() + PATIENCE
    while not _has_loss(server.uri):
        assert time.monotonic() < until
        time.sleep(0.1)
    server.kill()
    for step in range(2, 50):
        told.scalars(step, {"loss": 1 / step})
        time.sleep(0.01)
    began = time.monotonic()
    told.close()
    assert time.monotonic() - began < 2
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("coresr: warning: tracker mlflow cannot be reached, ")


def _has_loss(uri: str) -> bool:
    try:
        one, _ = kept(uri, "killed")
    except ValueError:  # it has not begun
        return False
    return "loss" in one.data.metrics


@pytest.mark.parametrize("fault", ["refuses", "hangs"])
def test_a_server_that_never_answers_costs_one_line_and_two_seconds(
    run: Callable[..., Run], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    import mlflow  # noqa: F401  # its seconds are no outage's

    monkeypatch.setattr(adapters, "ANSWER_SECONDS", 2.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if fault == "hangs":
            deaf.listen()
        began = time.monotonic()
        told = Trackers(run(f"http://127.0.0.1:{deaf.getsockname()[1]}"), {}, Accelerator(cpu=True))
        told.scalars(1, {"loss": 1.0})
        told.close()
        assert time.monotonic() - began < 4  # two of them until it counts as down, during which training goes on
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1


def test_without_a_server_a_database_in_the_run_folder_holds_it_and_a_resumed_run_goes_on_in_it(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    one = run("")
    tell(one, range(1, 6), failed=True)
    uri = f"sqlite:///{Path(one.out) / 'mlflow.db'}"
    assert kept(uri)[0].info.status == "FAILED"
    told = Trackers(one, {"data": {"sha256": "changed"}}, Accelerator(cpu=True))
    for step in range(6, 11):
        told.scalars(step, {"sr/l1": 1 / step, "diverged": float("nan")})
    told.close()
    assert capfd.readouterr() == ("", "")
    check(uri, one, steps=10)
    assert list(elsewhere.iterdir()) == []
