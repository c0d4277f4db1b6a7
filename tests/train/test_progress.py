import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from coresr_train.length import Length
from coresr_train.loop import Step
from coresr_train.presets import quick_x2
from coresr_train.progress import LOG_EVERY, Progress
from coresr_train.tracking import Trackers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless told."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def rows(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_is_the_mean_since_the_last_and_leaves_validations_out_of_the_speed(
    tmp_path: Path, clock: list[float]
) -> None:
    accelerator = Accelerator(cpu=True)
    run = replace(quick_x2(), budget_seconds=None, steps=15, out=str(tmp_path))
    progress = Progress(run, Length(run, 1.0, accelerator), Trackers(run, {}, accelerator), accelerator)
    for number in range(1, 16):
        clock[0] += 0.5
        progress.waited(0.1)
        terms, watched = {"sr/l1": torch.tensor(float(number))}, {"sr/gradient_norm": torch.tensor(1.0)}
        progress.step(Step(number=number, learning_rate=0.1 / number, terms=terms, watched=watched), last=number == 15)
        if number == 3:
            clock[0] += 100  # a validation
            progress.said("valid")
    first, second = rows(tmp_path / "metrics.jsonl")
    assert (first["step"], second["step"]) == (LOG_EVERY, 15)
    assert (first["sr/l1"], second["sr/l1"]) == (5.5, 13.0)
    for row in (first, second):
        assert row["patches_per_second"] == pytest.approx(run.data.batch / 0.5)
        assert row["wait_share"] == pytest.approx(0.2)
    assert second["learning_rate"] == pytest.approx(0.1 / 15)
    assert "15 steps, 0.500 s a step (median), 32 patches/s" in progress.close()


def test_a_window_that_was_interrupted_is_logged_as_if_it_had_not_been(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    logged = []
    for folder, pause in (("whole", 0), ("paused", 7)):
        (tmp_path / folder).mkdir()
        run = replace(quick_x2(), budget_seconds=None, steps=10, out=str(tmp_path / folder))
        progress = Progress(run, Length(run, 1.0, accelerator), Trackers(run, {}, accelerator), accelerator)
        for number in range(1, 11):
            if number == pause:
                state = json.loads(json.dumps(progress.state()))
                progress = Progress(run, Length(run, 1.0, accelerator), Trackers(run, {}, accelerator), accelerator)
                progress.restore(state)
            terms = {"sr/l1": torch.tensor(0.1 * number), "sr/tv": torch.tensor(1 / number)}
            progress.step(Step(number=number, learning_rate=0.1, terms=terms, watched={}), last=False)
        (row,) = rows(tmp_path / folder / "metrics.jsonl")
        logged.append({name: value for name, value in row.items() if name.startswith(("sr/", "step"))})
    assert logged[0] == logged[1]
    assert logged[0]["sr/l1/share"] + logged[0]["sr/tv/share"] == pytest.approx(1)
    assert logged[0]["sr/l1/share"] == pytest.approx(5.5 / (5.5 + sum(1 / n for n in range(1, 11))), rel=1e-5)


def test_a_phase_that_comes_seldom_is_no_spike_of_the_others(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    run = replace(quick_x2(), budget_seconds=None, steps=200, out=str(tmp_path))
    progress = Progress(run, Length(run, 1.0, accelerator), Trackers(run, {}, accelerator), accelerator)
    for number in range(1, 201):
        terms = {"g/l1": torch.tensor(0.01 + 1e-4 * (number % 3))}
        if number % 5 == 0:
            terms["d/adversarial"] = torch.tensor(0.69 if number < 150 else 50.0)
        progress.step(Step(number=number, learning_rate=0.1, terms=terms, watched={}), last=False)
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {(row["kind"], row["phase"]) for row in found} == {("spike", "d")}
    assert found[0]["step"] == 150


def test_a_critic_that_has_won_is_named_in_the_events(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    run = replace(quick_x2(), budget_seconds=None, steps=200, out=str(tmp_path))
    progress = Progress(run, Length(run, 1.0, accelerator), Trackers(run, {}, accelerator), accelerator)
    for number in range(1, 201):
        terms, watched = {"d/adversarial": torch.tensor(0.1)}, {"d/accuracy": torch.tensor(1.0)}
        progress.step(Step(number=number, learning_rate=0.1, terms=terms, watched=watched), last=False)
    (row,) = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert (row["kind"], row["step"], row["critic"]) == ("collapse", 100, "d")
