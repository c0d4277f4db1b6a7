"""The operator of a stored slice makes that slice's LR."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coresr_data.datasets.operators import KEPT, Operators
from coresr_data.datasets.reading import whole_slices
from coresr_data.degrade.operators import Chain, linear
from coresr_data.degrade.recipes import Steps
from coresr_data.packing import prepare
from coresr_data.resize import Separable
from coresr_data.store import Store

MakeStore = Callable[..., Store]
ROUNDED = 1.0  # grey levels: half of one after each pass


def furthest(store: Store) -> float:
    """Grey levels between the operators' LR and the store's."""
    pairs = [(one, one.operator) for one in whole_slices(store, "train", operators=True)]
    return max(
        float((operator.forward(one.hr.double()) - one.lr).abs().max() * 255) if operator else float("nan")
        for one, operator in pairs
    )


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """Six slices whose LR needs no clipping, which is not linear."""
    folder = tmp_path / "grey"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(100, 156, (48, 64)).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("degradation", ["bicubic", "unknown", "blur"])
def test_it_gives_the_stored_lr_up_to_rounding(grey: Path, tmp_path: Path, degradation: str) -> None:
    store = prepare(grey, tmp_path / "store", scale=2, split="none", degradation=degradation)
    assert 0 < furthest(store) <= ROUNDED


def test_it_leaves_out_what_is_not_linear(slices: Path, tmp_path: Path) -> None:
    """A scanner's noise, rings and drift stay: the LR differs by about their size and not by the picture's."""
    store = prepare(slices, tmp_path / "store", scale=2, split="none", degradation="scanner")
    off = [
        float((one.operator.forward(one.hr) - one.lr).square().mean().sqrt())
        for one in whole_slices(store, "train", operators=True)
        if one.operator
    ]
    contrast = float(np.mean([float(one.lr.std()) for one in whole_slices(store, "train", operators=True)]))
    assert len(off) == 24
    assert 0.004 < np.median(off) < contrast / 2


def test_the_published_default_is_bicubic_though_no_step_is_recorded(make_store: MakeStore) -> None:
    store = make_store("store", dtype="float32")
    default, unknown = (
        replace(store, manifest=replace(store.manifest, degradation=name)) for name in ("default", "unknown")
    )
    assert furthest(default) < 1e-4
    assert all(one.operator is None for one in whole_slices(unknown, "train", operators=True))


def test_scanned_lr_has_none(make_store: MakeStore) -> None:
    store = make_store("store", images=[("hr",), ("lr",)], sizes=[(48, 64), (48, 64)])
    assert all(Operators(store)(core, 0) is None for core in store.manifest.cores)


def test_slices_made_alike_share_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(steps: Steps, height: int, width: int, scale: int) -> Separable | Chain:
        made.append(steps)
        return linear(steps, height, width, scale)

    monkeypatch.setattr("coresr_data.datasets.operators.linear", counted)
    assert len({id(one.operator) for one in whole_slices(store, "train", operators=True)}) == len(made) == 1


def test_few_are_held_where_every_slice_has_its_own(slices: Path, tmp_path: Path) -> None:
    store = prepare(slices, tmp_path / "store", scale=2, split="none", degradation="blur")
    operators = Operators(store)
    made = [operators(core, row) for core, row in store.rows("train")]
    assert len({id(one) for one in made}) > KEPT
    assert len(operators._made) == KEPT
    assert all(one.operator is None for one in whole_slices(store, "train"))


@pytest.mark.parametrize("layers", [1, 6])
def test_whole_slices_bring_their_mask(make_store: MakeStore, layers: int) -> None:
    mask = np.random.default_rng(0).random((layers, 48, 64)) > 0.3
    store = make_store("store", mask=mask)
    for one, expected in zip(
        whole_slices(store, "train", operators=True), np.broadcast_to(mask, (6, 48, 64)), strict=True
    ):
        assert one.mask is not None
        assert one.mask.dtype == torch.bool
        np.testing.assert_array_equal(one.mask.numpy(), expected)
    assert all(one.mask is None for one in whole_slices(make_store("bare"), "train"))
