"""A manifest comes back as it was written, and what is none is refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coresr_data.intensity import Window
from coresr_data.store.manifest import MANIFEST as NAME
from coresr_data.store.manifest import Core, Manifest, Slice, read_manifest, write_manifest

SLICES = (
    Slice(number=7, split="train", source="plug ü/7.tif", sha256="ab", rock=0.25),
    Slice(number=9, split="test", source="plug ü/9\udcff.tif", sha256="cd"),
)
PLUG = Core(
    name="plug ü",
    folder="plug ü",
    height=12,
    width=24,
    cropped=(1, 2),
    voxel_um=(5.0, 2.25, 2.25),
    slices=SLICES,
    masked=True,
    sha256={"hr.npy": "ef"},
)
MANIFEST = Manifest(
    scales=(2, 3),
    dtype="uint16",
    window=Window(10.0, 60000.0),
    degradation="unknown",
    split={"parts": [0.5, 0.25, 0.25], "gap": 2},
    cores=(PLUG, replace(PLUG, folder="plug ü-2", images=("lr",), voxel_um=None, masked=False)),
    degradation_parameters={"seed": 3},
    skipped=(("plug ü/8.tif", "truncated"),),
)


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, Any]:
    write_manifest(tmp_path, MANIFEST)
    found: dict[str, Any] = json.loads((tmp_path / NAME).read_text(encoding="utf-8"))
    return found


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    found = read_manifest(tmp_path / NAME, (tmp_path / NAME).read_bytes())
    assert found == MANIFEST
    assert isinstance(found.window, Window)
    for name in ("scales", "cores", "skipped"):
        assert isinstance(getattr(found, name), tuple)
    for name in ("cropped", "voxel_um", "slices", "images"):
        assert isinstance(getattr(found.cores[0], name), tuple)
    assert isinstance(found.skipped[0], tuple)


def test_the_arrays_of_a_core_are_those_of_its_images_and_its_mask() -> None:
    paired, lr = MANIFEST.cores
    assert MANIFEST.arrays(paired) == ["hr.npy", "lr_x2.npy", "lr_x3.npy", "mask.npy"]
    assert MANIFEST.arrays(lr) == ["lr_x2.npy", "lr_x3.npy"]
    assert MANIFEST.arrays(replace(lr, images=("hr",))) == ["hr.npy"]


def test_grey_says_dtype_and_window() -> None:
    assert MANIFEST.grey == "uint16, 10 → 0, 60000 → 1"


@pytest.mark.parametrize("extra", [{}, {"colour": "red"}])
@pytest.mark.parametrize("schema", [1, 3])
def test_another_schema_is_refused_whatever_else_it_holds(
    fields: dict[str, Any], schema: int, extra: dict[str, str]
) -> None:
    text = json.dumps({**fields, "schema": schema, **extra}).encode()
    with pytest.raises(
        ValueError, match=rf"^x/dataset\.json must be of schema 2, got {schema}; prepare the store again$"
    ):
        read_manifest(Path("x/dataset.json"), text)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": 2}', '{"schema": 2, "cores": 3}', "\xff", "[" * 100_000], ids=range(8)
)
def test_what_is_no_manifest_is_refused_by_name(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^x/dataset\.json must be a store manifest, got .*; prepare the store again$"
    ):
        read_manifest(Path("x/dataset.json"), text.encode("latin-1"))


@pytest.mark.parametrize(
    "change",
    [{"colour": "red"}, {"window": [1]}, {"cores": [{"name": "plug"}]}, {"skipped": [["a"]]}, {"scales": None}],
    ids=str,
)
def test_other_fields_are_refused(fields: dict[str, Any], change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be a store manifest"):
        read_manifest(Path("x/dataset.json"), json.dumps({**fields, **change}).encode())


@pytest.mark.parametrize("kind", ["core", "slice"])
def test_other_fields_of_a_core_or_a_slice_are_refused(fields: dict[str, Any], kind: str) -> None:
    core = fields["cores"][0]
    (core if kind == "core" else core["slices"][1])["colour"] = "red"
    with pytest.raises(ValueError, match=r"must be a store manifest, got .*colour"):
        read_manifest(Path("x/dataset.json"), json.dumps(fields).encode())


def test_numbers_that_json_does_not_know_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, replace(MANIFEST, window=Window(0.0, float("nan"))))
    assert not (tmp_path / NAME).exists()
