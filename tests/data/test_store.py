"""A store says what it holds, notices when it does not, and appears whole or not at all."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coresr_data.intensity import Window
from coresr_data.layouts import prepare
from coresr_data.store import Core, Manifest, Slice, Store, create_arrays, open_store, write_manifest, written_aside

MakeCore = Callable[..., Path]

MANIFEST = Manifest(
    scale=3,
    dtype="uint16",
    window=Window(10.0, 60000.0),
    voxel_um=2.25,
    degradation="bicubic",
    split={"parts": [0.5, 0.25, 0.25], "gap": 2},
    cores=(
        Core(
            name="plug ü",
            height=4,
            width=5,
            cropped=(1, 2),
            slices=(
                Slice(number=7, split="train", source="plug ü/7.tif", sha256="ab"),
                Slice(number=9, split="test", source="plug ü/9.tif", sha256="cd"),
            ),
        ),
    ),
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A store of `MANIFEST` with counted levels."""
    core = MANIFEST.cores[0]
    with written_aside(tmp_path / "store") as aside:
        hr, lr = create_arrays(aside, core.name, n=2, height=4, width=5, scale=3, dtype="uint16")
        hr[:] = np.arange(hr.size).reshape(hr.shape)
        lr[:] = np.arange(lr.size).reshape(lr.shape)
        write_manifest(aside, MANIFEST)
    return tmp_path / "store"


def test_a_manifest_comes_back_as_it_was_written(written: Path) -> None:
    opened = open_store(written)
    assert opened.manifest == MANIFEST
    assert isinstance(opened.manifest.window, Window)
    assert isinstance(opened.manifest.cores[0].cropped, tuple)


def test_arrays_come_back_mapped_read_only_and_aligned(written: Path) -> None:
    opened = open_store(written)
    hr, lr = opened.hr(MANIFEST.cores[0]), opened.lr(MANIFEST.cores[0])
    assert (hr.shape, lr.shape, str(hr.dtype), str(lr.dtype)) == ((2, 12, 15), (2, 4, 5), "uint16", "uint16")
    assert isinstance(hr, np.memmap)
    np.testing.assert_array_equal(hr.ravel(), np.arange(hr.size))
    np.testing.assert_array_equal(lr.ravel(), np.arange(lr.size))
    with pytest.raises(ValueError, match="read-only"):
        hr[0, 0, 0] = 1


def test_rows_are_found_by_split_and_an_absent_split_is_named(written: Path) -> None:
    opened = open_store(written)
    assert opened.rows("test") == [(MANIFEST.cores[0], 1)]
    with pytest.raises(ValueError, match=r"^split must be one of test, train in store .*store, got valid$"):
        opened.rows("valid")


@pytest.mark.parametrize("name", ["hr.npy", "lr_x3.npy"])
@pytest.mark.parametrize(
    "array", [np.zeros((2, 4, 6), "uint16"), np.zeros((2, 12, 15), "uint8"), np.zeros((1, 4, 5), "uint16")], ids=str
)
def test_an_array_that_is_not_what_the_manifest_says_is_refused(
    written: Path, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    np.save(written / "plug ü" / name, array)
    opened = open_store(written)
    with pytest.raises(ValueError, match=rf"{name} must be \(2, .*\) uint16 as dataset\.json says, got \("):
        (opened.hr if name == "hr.npy" else opened.lr)(MANIFEST.cores[0])


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_an_array_cut_short_is_refused_by_name(written: Path, keep: int) -> None:
    path = written / "plug ü" / "hr.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"hr\.npy must be a whole NumPy array, got .*; prepare the store again$"):
        open_store(written).hr(MANIFEST.cores[0])


def test_an_array_that_is_gone_is_missing_input(written: Path) -> None:
    (written / "plug ü" / "lr_x3.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"lr_x3\.npy"):
        open_store(written).lr(MANIFEST.cores[0])


def test_a_pickle_in_place_of_an_array_is_never_loaded(written: Path) -> None:
    np.save(written / "plug ü" / "hr.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"hr\.npy must be a whole NumPy array"):
        open_store(written).hr(MANIFEST.cores[0])


def test_a_folder_without_a_manifest_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^store must be a folder with dataset\.json, got .*; make one with: "):
        open_store(tmp_path)


@pytest.mark.parametrize("extra", [{}, {"colour": "red"}])
def test_a_store_of_another_schema_is_refused_whatever_else_it_holds(written: Path, extra: dict[str, str]) -> None:
    fields = json.loads((written / "dataset.json").read_text())
    (written / "dataset.json").write_text(json.dumps({**fields, "schema": 2, **extra}))
    with pytest.raises(ValueError, match=r"dataset\.json must be of schema 1, got 2; prepare the store again$"):
        open_store(written)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 1, "cores": 3}', "\xff"])
def test_a_manifest_that_is_none_is_refused_by_name(written: Path, text: str) -> None:
    (written / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"dataset\.json must be a store manifest, got .*; prepare the store again$"):
        open_store(written)


@pytest.mark.parametrize("change", [{"colour": "red"}, {"window": [1]}, {"cores": [{"name": "plug"}]}])
def test_a_manifest_with_other_fields_is_refused(written: Path, change: dict[str, object]) -> None:
    fields = json.loads((written / "dataset.json").read_text())
    (written / "dataset.json").write_text(json.dumps({**fields, **change}))
    with pytest.raises(ValueError, match=r"dataset\.json must be a store manifest"):
        open_store(written)


def test_numbers_that_json_does_not_know_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, replace(MANIFEST, voxel_um=float("nan")))


def test_the_identity_changes_with_one_grey_level_of_one_source(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    first = prepare(source, tmp_path / "first", scale=2)
    again = prepare(source, tmp_path / "again", scale=2)
    assert first.sha256 == again.sha256 == open_store(tmp_path / "first").sha256
    path = source / "slice_0000.png"
    levels = np.asarray(Image.open(path)).copy()
    levels[0, 0] ^= 1
    Image.fromarray(levels).save(path)
    assert prepare(source, tmp_path / "other", scale=2).sha256 != first.sha256


def test_the_identity_belongs_to_the_data_and_not_to_the_place(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "moved")
    assert open_store(tmp_path / "moved").sha256 == store.sha256


# Whole or not at all


def test_a_failure_inside_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with written_aside(tmp_path / "out") as aside:
            (aside / "half").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_under_the_name_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with written_aside(out) as aside:
        (aside / "core").mkdir()
        (aside / "core" / "file").write_text("whole")
        assert not out.exists()
    assert (out / "core" / "file").read_text() == "whole"
    assert list(out.parent.iterdir()) == [out]


def test_an_empty_folder_is_filled_also_through_a_link_and_a_relative_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with written_aside(Path("link")) as aside:
        (aside / "file").write_text("whole")
    assert (tmp_path / "real" / "file").read_text() == "whole"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with written_aside(Path()) as aside:
        (aside / "file").write_text("whole")
    assert (tmp_path / "here" / "file").read_text() == "whole"


def test_a_taken_name_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file"):
        match = f"^out must be a new or an empty folder, got .*{name}; remove it or name another$"
        with pytest.raises(FileExistsError, match=match), written_aside(tmp_path / name):
            pass
    assert (tmp_path / "folder" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}
