"""A run that stops and goes on ends as one that never stopped: the same weights, the same record."""

import hashlib
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from coresr_models import load
from coresr_train import checkpoints
from coresr_train.folder import BusyError
from coresr_train.run import train
from coresr_train.settings import ConfigError, Run
from coresr_train.validation import Judge

CLOCKS = {"seconds", "patches_per_second", "wait_share"}


def digest(out: Path) -> str:
    """Of all tensors of the newest checkpoint and of the weights that are used, by name."""
    saved = checkpoints.newest(out)
    assert saved is not None
    tensors = {f"{file}/{name}": tensor for file, some in saved.tensors.items() for name, tensor in some.items()}
    for name in ("best", "last"):
        tensors |= {f"{name}/{key}": tensor for key, tensor in load_file(out / f"{name}.safetensors").items()}
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return whole.hexdigest()


def record(out: Path) -> list[dict[str, Any]]:
    """The metrics but for what a clock says."""
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in rows]


@pytest.fixture
def long_run(tiny_run: Run) -> Run:
    """More than one row and one validation, and a checkpoint every fifth step."""
    return replace(tiny_run, steps=33, save_every=5, data=replace(tiny_run.data, noise_std=0.01))


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Trained once, by the first test that asks for it."""
    return [tmp_path_factory.mktemp("never") / "whole"]


@pytest.fixture
def whole(long_run: Run, never_stopped: list[Path], tmp_path: Path) -> Path:
    """A copy of the run that never stopped."""
    if not never_stopped[0].exists():
        train(replace(long_run, out=str(never_stopped[0])))
    return Path(shutil.copytree(never_stopped[0], tmp_path / "whole"))


def stopped_after(run: Run, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the checkpoint of a step was written, then stop as a killed process does: at once."""
    real = checkpoints.write

    def killed(out: Path, number: int, *rest: Any) -> Path:
        folder = real(out, number, *rest)
        if number == step:
            raise KeyboardInterrupt
        return folder

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoints, "write", killed)
        train(run)


@pytest.mark.parametrize("step", [5, 15, 30])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    step: int, long_run: Run, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(long_run, step, monkeypatch)
    out = train(replace(long_run, resume="latest"))
    assert digest(out) == digest(whole)
    assert record(out) == record(whole)


def test_other_workers_change_nothing_when_it_goes_on(
    long_run: Run, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(long_run, 15, monkeypatch)
    out = train(replace(long_run, resume="latest", data=replace(long_run.data, workers=2)))
    assert digest(out) == digest(whole)


def test_a_run_that_is_over_stays_as_it_is(long_run: Run, whole: Path) -> None:
    before = digest(whole), record(whole), (whole / "checkpoints" / "33" / "state.json").read_bytes()
    train(replace(long_run, out=str(whole), resume="latest"))
    assert before == (digest(whole), record(whole), (whole / "checkpoints" / "33" / "state.json").read_bytes())


def test_a_run_can_go_back_to_an_earlier_checkpoint(long_run: Run, whole: Path) -> None:
    before = digest(whole), record(whole)
    assert checkpoints.steps(whole) == [30, 33]
    train(replace(long_run, out=str(whole), resume=str(whole / "checkpoints" / "30")))
    assert before == (digest(whole), record(whole))


def test_a_damaged_checkpoint_is_passed_over_but_not_where_it_is_named(long_run: Run, whole: Path) -> None:
    before = digest(whole)
    (whole / "checkpoints" / "33" / "nets.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="checkpoints/33 must be as it was written"):
        train(replace(long_run, out=str(whole), resume=str(whole / "checkpoints" / "33")))
    with pytest.warns(UserWarning, match="going back"):
        train(replace(long_run, out=str(whole), resume="latest"))
    assert digest(whole) == before


def test_a_checkpoint_of_another_run_is_refused(long_run: Run, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resume must be a checkpoint in"):
        train(replace(long_run, out=str(tmp_path / "other"), resume=str(whole / "checkpoints" / "33")))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_so_and_a_second_changes_nothing(
    number: int, long_run: Run, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoints.write
    seen = []

    def impatient(out: Path, step: int, *rest: Any) -> Path:
        os.kill(os.getpid(), number)
        seen.append(step)
        return real(out, step, *rest)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as caught:
        patched.setattr(checkpoints, "write", impatient)
        train(long_run)
    assert caught.value.code == 143
    assert seen == [5, 6], "the step after the one in which it was asked"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    out = train(replace(long_run, resume="latest"))
    assert (digest(out), record(out)) == (digest(whole), record(whole))


def test_a_validation_that_a_signal_cuts_short_is_made_when_the_run_goes_on(
    long_run: Run, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Judge._pairs
    asked = []

    def interrupted(self: Judge) -> Any:
        for pair in real(self):
            asked.append(1)
            if len(asked) == 2:  # the first is bicubic's
                os.kill(os.getpid(), signal.SIGTERM)
            yield pair

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Judge, "_pairs", interrupted)
        train(long_run)
    out = Path(long_run.out)
    saved = checkpoints.newest(out)
    assert saved is not None
    assert saved.state["unvalidated"]
    assert not any(row["kind"] == "valid" for row in record(out))
    train(replace(long_run, resume="latest"))
    assert (digest(out), record(out)) == (digest(whole), record(whole))


def test_two_runs_in_one_folder_are_one_too_many(long_run: Run, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def held(_handle: int, _how: int) -> None:
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "lockf", held)
    with pytest.raises(BusyError, match=rf"process {os.getpid()} of .* trains; choose another --out"):
        train(replace(long_run, out=str(whole), resume="latest"))
    assert BusyError.exit_code == 75


def test_other_settings_are_another_run(long_run: Run, whole: Path) -> None:
    changed = replace(
        long_run, out=str(whole), resume="latest", seed=1, optim=replace(long_run.optim, learning_rate=5e-4)
    )
    with pytest.raises(ConfigError) as caught:
        train(changed)
    for part in ("optim.learning_rate must be 0.001 as the run began, got 0.0005", "seed must be 0", "data.canary"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match=r"with --allow-change seed|with --allow-change data.canary"):
        train(replace(changed, allow_change=("optim.learning_rate",)))


def test_a_change_that_is_allowed_is_recorded(long_run: Run, whole: Path) -> None:
    longer = replace(long_run, out=str(whole), resume="latest", steps=40, allow_change=("steps",))
    train(longer)
    saved = checkpoints.newest(whole)
    assert saved is not None
    assert (saved.step, saved.state["about"]["lineage"]) == (40, [{"step": 33, "changed": {"steps": [33, 40]}}])


def test_without_a_checkpoint_it_starts_anew_in_its_folder(long_run: Run, whole: Path) -> None:
    out = Path(long_run.out)
    (out / "checkpoints" / ".tmp-5").mkdir(parents=True)
    (out / "run.toml").write_bytes((whole / "run.toml").read_bytes())
    (out / "metrics.jsonl").write_bytes((whole / "metrics.jsonl").read_bytes()[:-9])
    train(replace(long_run, resume="latest"))
    assert (digest(out), record(out)) == (digest(whole), record(whole))
    assert not (out / "checkpoints" / ".tmp-5").exists()


def test_a_folder_of_something_else_is_not_gone_on_with(long_run: Run) -> None:
    out = Path(long_run.out)
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="without run.toml"):
        train(replace(long_run, resume="latest"))


def test_best_weights_of_steps_that_were_taken_back_do_not_outlive_them(
    long_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(replace(long_run, save_every=5), 20, monkeypatch)
    out = Path(long_run.out)
    later = json.loads((out / "best.json").read_text()) | {"step": 25, "psnr": 99.0}
    (out / "best.json").write_text(json.dumps(later))
    slower = replace(long_run.optim, learning_rate=1e-9)
    train(replace(long_run, resume="latest", optim=slower, allow_change=("optim.learning_rate",)))
    best = json.loads((out / "best.json").read_text())
    rows = {row["step"]: row["psnr"] for row in record(out) if row["kind"] == "valid"}
    assert rows[best["step"]] == best["psnr"]
    assert load(out / "best.safetensors").provenance["valid"]["model"]["step"] == best["step"]


def test_another_precision_is_another_run(long_run: Run, whole: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision.used must be fp32 as the run began, got bf16"):
        train(replace(long_run, out=str(whole), resume="latest", precision="bf16", allow_change=("precision",)))


def test_a_change_that_never_reached_a_checkpoint_is_forgotten(
    long_run: Run, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (whole / "run.toml").read_bytes()
    changed = replace(long_run, out=str(whole), resume="latest", steps=60, save_every=1000, allow_change=("steps",))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Judge, "_panels", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        train(changed)
    assert (whole / "run.toml").read_bytes() == settings
    train(replace(long_run, out=str(whole), resume="latest"))
    train(changed)
    assert b"steps = 60" in (whole / "run.toml").read_bytes()


def test_other_moments_are_left_behind_with_their_optimizer(long_run: Run, whole: Path) -> None:
    allowed = ("steps", "optim.optimizer")
    other = replace(long_run.optim, optimizer="sgd")
    train(replace(long_run, out=str(whole), resume="latest", steps=36, optim=other, allow_change=allowed))
    assert checkpoints.steps(whole)[-1] == 36


def test_another_metric_begins_its_own_best(long_run: Run, whole: Path) -> None:
    changed = replace(long_run.validation, metric="ssim")
    allowed = ("steps", "validation.metric")
    train(replace(long_run, out=str(whole), resume="latest", steps=60, validation=changed, allow_change=allowed))
    rows = {row["step"]: row["ssim"] for row in record(whole) if row["kind"] == "valid" and row["step"] > 33}
    assert json.loads((whole / "best.json").read_text())["ssim"] == max(rows.values())
