import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coresr_data import Store, WholeSlice, whole_slices
from coresr_models import load
from coresr_train.run import train
from coresr_train.settings import Run, Validation


def rows(out: Path, kind: str) -> list[dict[str, float]]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def test_validation_takes_no_more_slices_than_it_may(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def counted(store: Store, split: str, *, most: int | None = None, operators: bool) -> Iterator[WholeSlice]:
        asked.append(most)
        return whole_slices(store, split, most=most, operators=operators)

    monkeypatch.setattr("coresr_train.validation.whole_slices", counted)
    train(replace(tiny_run, validation=Validation(slices=1)))
    assert set(asked) == {1}


def test_the_checkpoint_says_how_grey_levels_entered_and_what_computed(tiny_run: Run) -> None:
    about = load(train(tiny_run) / "last.safetensors").provenance
    assert (about["data"]["dtype"], about["data"]["window"]) == ("uint8", [0.0, 255.0])
    assert (about["machine"]["device"], about["machine"]["precision"]) == ("cpu", "fp32")
    assert about["protocol"]["grey"] == "uint8, 0 → 0, 255 → 1"


def test_a_run_ends_early_when_its_patience_is_lost(tiny_run: Run) -> None:
    # no validation improves by 100 dB but the first, which has nothing to beat
    stop = Validation(every_epochs=1, patience=2, min_delta=100.0)
    out = train(replace(tiny_run, steps=1000, validation=stop))
    assert len(rows(out, "valid")) == 3


def test_best_is_kept_where_later_validations_are_worse(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter([False, True, False, False])
    monkeypatch.setattr("coresr_train.stopping.Patience.is_best", lambda self, value: next(verdicts))
    out = train(replace(tiny_run, steps=50, validation=Validation(every_epochs=1)))
    steps = [row["step"] for row in rows(out, "valid")]
    assert len(steps) == 4
    best, last = (load(out / f"{name}.safetensors").provenance["valid"]["model"]["step"] for name in ("best", "last"))
    assert (best, last) == (steps[1], steps[3])
