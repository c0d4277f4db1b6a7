import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from accelerate import Accelerator

from coresr_train.settings import ConfigError, Run, Tracking
from coresr_train.tracking import TrackerError, Trackers, refuse_missing, trackers
from coresr_train.tracking.adapters import plain

from .conftest import Server

Serve = Callable[..., Server]
MAIN = cast(Accelerator, SimpleNamespace(is_main_process=True))
OTHER = cast(Accelerator, SimpleNamespace(is_main_process=False))


def tell(run: Run, accelerator: Accelerator = MAIN, *, failed: bool = False) -> None:
    """Everything that a run tells, with its objects changed behind its back."""
    file = Path(run.out) / "last.safetensors"
    file.write_text("weights")
    told = Trackers(run, {"data": {"sha256": "abc"}}, accelerator)
    values, picture = {"sr/l1": 0.5}, np.arange(6, dtype=np.uint8).reshape(2, 3)
    told.scalars(10, values)
    told.images(10, {"slice 3": picture})
    values["sr/l1"], picture[:] = 9.0, 9
    told.artefact(file)
    told.close(failed=failed)
    told.close()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("tracker")]


def test_a_run_is_told_as_a_whole_and_in_order(tracked: Run, serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    server = serve()
    tell(tracked)
    kinds = ["start", "config", "scalars", "images", "artefact", "finish"]
    assert [kind for kind, _ in server.told] == kinds
    told = dict(server.told)
    assert told["scalars"] == [10, {"sr/l1": 0.5}]
    assert told["images"] == [10, {"slice 3": [[0, 1, 2], [3, 4, 5]]}]
    assert told["artefact"] == "weights"
    assert told["finish"] is False
    assert told["config"]["data.sha256"] == "abc"
    assert told["config"]["run.optim.learning_rate"] == tracked.optim.learning_rate
    assert told["config"]["run.model.arguments.width"] == 8
    assert threads() == []
    assert capfd.readouterr().err == ""


def test_a_resumed_run_goes_on_under_its_name_with_its_first_settings(tracked: Run, serve: Serve) -> None:
    server = serve()
    tell(tracked, failed=True)
    assert server.told[-1] == ("finish", True)
    assert json.loads((Path(tracked.out) / trackers.IDENTITIES).read_text()) == {"mlflow": "run-1"}
    server.told.clear()
    tell(tracked)
    assert [kind for kind, _ in server.told] == ["start", "scalars", "images", "artefact", "finish"]
    assert server.told[0] == ("start", "run-1")
    (Path(tracked.out) / trackers.IDENTITIES).write_text("{torn")
    server.told.clear()
    tell(tracked)
    assert server.told[0] == ("start", "")


@pytest.mark.parametrize("accelerator", [MAIN, OTHER])
def test_a_run_without_trackers_and_the_other_processes_of_one_do_nothing(
    tracked: Run, serve: Serve, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setattr(trackers, "Courier", pytest.fail)
    monkeypatch.setattr(np, "array", pytest.fail)
    tell(tracked if accelerator is OTHER else replace(tracked, tracking=Tracking()), accelerator)
    Trackers(replace(tracked, tracking=Tracking()), {}, MAIN).scalars(1, {"not even": cast("float", "looked at")})
    assert server.told == []
    assert [path.name for path in Path(tracked.out).iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("fault", ["refuses", "hangs", "500", "dies"])
def test_a_tracker_that_is_down_costs_one_line_and_two_seconds_at_most(
    tracked: Run, serve: Serve, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    server = serve(fault)
    began = time.monotonic()
    tell(tracked)
    assert time.monotonic() - began < 2
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("coresr: warning: tracker mlflow cannot be reached, ")
    assert len(server.told) == (3 if fault == "dies" else 0)


def test_an_outage_that_ends_loses_nothing(tracked: Run, serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    server = serve("500")
    told = Trackers(tracked, {}, MAIN)
    told.scalars(1, {"loss": 1.0})
    while "warning" not in capfd.readouterr().err:
        time.sleep(0.01)
    server._fault = ""
    while len(server.told) < 3:
        time.sleep(0.01)
    told.close()
    assert [kind for kind, _ in server.told] == ["start", "config", "scalars", "finish"]


@pytest.mark.parametrize("fault", ["refuses", "hangs", "500"])
def test_a_run_that_must_be_tracked_ends_with_69_where_it_cannot(tracked: Run, serve: Serve, fault: str) -> None:
    serve(fault)
    must = replace(tracked, tracking=replace(tracked.tracking, required=True))
    with pytest.raises(TrackerError, match="tracking.required says, got mlflow: .*; mend the connection") as raised:
        Trackers(must, {}, Accelerator(cpu=True))
    assert raised.value.exit_code == 69
    assert isinstance(raised.value, OSError)  # the command line answers it in one line
    assert "HOME" in os.environ
    assert "CORESR_TEST_TRACKER" not in os.environ


def test_a_run_that_must_be_tracked_goes_on_where_it_can(tracked: Run, serve: Serve) -> None:
    server = serve()
    tell(replace(tracked, tracking=replace(tracked.tracking, required=True)), Accelerator(cpu=True))
    assert len(server.told) == 6


def test_every_process_hears_that_a_tracker_cannot_be_reached(
    tracked: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()

    def hear(told: list[dict[str, str]]) -> None:
        told[0] = {"mlflow": "refused"}

    monkeypatch.setattr(trackers, "broadcast_object_list", hear)
    must = replace(tracked, tracking=replace(tracked.tracking, required=True))
    with pytest.raises(TrackerError, match="got mlflow: refused"):
        Trackers(must, {}, OTHER)


def test_variables_hold_while_the_run_does_unless_the_user_set_them(
    tracked: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    monkeypatch.setenv("HOME", "/home/ada")
    before = dict(os.environ)
    told = Trackers(tracked, {}, MAIN)
    assert os.environ["CORESR_TEST_TRACKER"] == "1"
    assert os.environ["HOME"] == "/home/ada"
    os.environ["CORESR_TEST_ITS_OWN"] = "http://127.0.0.1"
    told.close()
    assert dict(os.environ) == before


def test_what_is_sent_is_plain_and_tells_of_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    values: dict[str, Any] = {
        "out": "/home/ada/runs",
        "of": {"none": None, "n": 3, "list": (1, "/home/ada")},
        "b": True,
    }
    assert plain(values) == {"out": "~/runs", "of.n": 3, "of.list": '[1, "~"]', "b": True}
    monkeypatch.setenv("HOME", "/")
    assert plain({"out": "/tmp/a"}) == {"out": "/tmp/a"}  # noqa: S108  # no file is made


def test_a_missing_library_is_refused_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = SimpleNamespace(tracking=Tracking(to=("wandb", "mlflow")))
    monkeypatch.setattr(trackers, "_installed", lambda library: library == "mlflow")
    with pytest.raises(ConfigError, match=r"got wandb, mlflow; .* pip install 'coresr-train\[wandb,mlflow\]'"):
        refuse_missing(cast(Run, run))
    monkeypatch.setattr(trackers, "_installed", lambda library: library != "sqlalchemy")
    refuse_missing(cast(Run, SimpleNamespace(tracking=Tracking(to=("mlflow",), uri="http://127.0.0.1:5000"))))
    refuse_missing(cast(Run, SimpleNamespace(tracking=Tracking())))
    monkeypatch.undo()
    (tmp_path / "coresr_not_a_library").mkdir()  # as W&B leaves one of its name in the working folder
    monkeypatch.syspath_prepend(tmp_path)
    assert not trackers._installed("coresr_not_a_library")
    assert trackers._installed("accelerate")


def test_a_password_in_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_installed", lambda library: True)
    run = SimpleNamespace(tracking=Tracking(to=("mlflow",), uri="http://ada:secret@127.0.0.1"))
    with pytest.raises(ConfigError, match="must hold no password") as raised:
        refuse_missing(cast(Run, run))
    assert "secret" not in str(raised.value)
