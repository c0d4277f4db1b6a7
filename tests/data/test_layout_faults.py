"""The fault matrix where data are found and packed: D12 sizes, D13 names, D14 shifts, D16 odd names, D18 kills."""

import os
import signal
import time
import unicodedata
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.degrade import bicubic
from coresr_data.formats.images import write_slice
from coresr_data.layouts import Reading, find
from coresr_data.layouts.pairing import matched
from coresr_data.packing import prepare
from coresr_data.store import open_store

MakeCore = Callable[..., Path]
Levels = NDArray[np.uint8]


def grains(seed: int, size: int = 96) -> Levels:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 2)
    return np.asarray(np.clip(128 + 40 * field / field.std(), 0, 255).astype(np.uint8))


def write_pair(folder: Path, name: str, hr: Levels, lr: Levels) -> None:
    for image, levels in (("hr", hr), ("lr", lr)):
        (folder / image).mkdir(parents=True, exist_ok=True)
        write_slice(folder / image / f"{name}.png", levels)


# D12


@pytest.mark.parametrize("size", [(24, 24), (48, 47), (49, 48), (32, 32)])
def test_d12_an_lr_that_is_off_by_a_pixel_is_refused_with_both_paths_and_sizes(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    for number in range(3):
        write_pair(tmp_path / "set", f"{number}", grains(number), bicubic(grains(number), 2))
    write_slice(tmp_path / "set" / "lr" / "2.png", grains(9)[: size[0], : size[1]])
    hr, lr = (tmp_path / "set" / image / "2.png" for image in ("hr", "lr"))
    said = f"got 96×96 in {hr} and {size[0]}×{size[1]} in {lr}, where HR should be {2 * size[0]}×{2 * size[1]}; "
    with pytest.raises(ValueError, match="^HR must be 2 times as large as LR") as refusal:
        prepare(tmp_path / "set", tmp_path / "store", scale=2)
    assert said in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


# D13


def test_d13_every_name_without_a_partner_is_listed_both_ways(tmp_path: Path) -> None:
    for number in range(9):
        write_pair(tmp_path, f"{number}", grains(number), bicubic(grains(number), 2))
    for image, numbers in (("hr", (1, 4)), ("lr", (0, 5, 8))):
        for number in numbers:
            (tmp_path / image / f"{number}.png").unlink()
    with pytest.raises(ValueError, match=r"^HR and LR must have the same names, got HR alone 0\.png, 5\.png, 8\.png; "
                                         r"LR alone 1\.png, 4\.png; add or remove these"):  # fmt: skip
        find(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a1.png", "a1.tif"), ("a1.png", "A1.png"), (unicodedata.normalize("NFC", "ü1.png"), "u\u03081.png")],
)
@pytest.mark.parametrize("image", ["hr", "lr"])
def test_d13_names_that_differ_in_suffix_case_or_unicode_form_alone_are_refused(
    tmp_path: Path, one: str, other: str, image: str
) -> None:
    write_pair(tmp_path, one.removesuffix(".png"), grains(0), bicubic(grains(0), 2))
    write_slice(tmp_path / image / other, grains(1))
    with pytest.raises(ValueError, match="^names must differ in more than suffix, case or Unicode form, got"):
        find(tmp_path)


def test_d13_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    write_pair(tmp_path, "slice-ü 1", grains(0), bicubic(grains(0), 2))
    (tmp_path / "lr" / "slice-ü 1.png").rename(tmp_path / "lr" / unicodedata.normalize("NFD", "slice-ü 1.png"))
    (source,) = find(tmp_path)
    assert source.lr[2].names == (f"lr/{unicodedata.normalize('NFD', 'slice-ü 1.png')}",)  # said as it is


@pytest.mark.parametrize("missing", ["hr", "lr"])
def test_d13_cores_without_a_partner_are_listed(tmp_path: Path, missing: str) -> None:
    for image in ("hr", "lr"):
        for core in ("coal", *(() if image == missing else ("sand", "shale"))):
            (tmp_path / image / core).mkdir(parents=True)
            write_slice(tmp_path / image / core / "1.png", grains(0, 32 if image == "hr" else 16))
    alone = "LR alone" if missing == "hr" else "HR alone"
    with pytest.raises(ValueError, match=f"must have the same names, got {alone} sand, shale; add or remove"):
        find(tmp_path)


@given(st.sets(st.integers(0, 99), max_size=12), st.sets(st.integers(0, 99), max_size=12), st.booleans())
def test_d13_names_match_exactly_where_the_sets_are_equal(hr: set[int], lr: set[int], tail: bool) -> None:
    own = [Path("hr") / f"{number:03d}.png" for number in sorted(hr)]
    other = [Path("lr") / f"{number:03d}{'x4' if tail else ''}.tif" for number in sorted(lr, reverse=True)]
    if hr == lr:
        assert matched(own, other, 4) == {path: Path("lr") / f"{path.stem}{'x4' if tail else ''}.tif" for path in own}
        return
    with pytest.raises(ValueError, match="must have the same names") as refusal:
        matched(own, other, 4)
    for number in hr ^ lr:
        assert f"{number:03d}" in str(refusal.value)


# D14


def shifted(folder: Path, off: float, *, scale: int = 2) -> Path:
    """Six pairs whose LR lies `off` LR pixels further down and to the right than HR."""
    for number in range(6):
        hr = grains(number, 160)
        lr = bicubic(ndimage.shift(hr.astype(float), off * scale, order=3, mode="reflect"), scale)
        write_pair(folder, f"{number}", hr, np.clip(np.rint(lr), 0, 255).astype(np.uint8))
    return folder


@pytest.mark.parametrize("off", [0, 0.25])
def test_d14_pairs_that_lie_within_half_a_pixel_are_taken_and_measured(tmp_path: Path, off: float) -> None:
    store = prepare(shifted(tmp_path / "set", off), tmp_path / "store", scale=2, split="none")
    found = store.manifest.degradation_parameters["pairs"]["set"]["registration"]["2"]
    assert (found["verdict"], found["pairs"]) == ("aligned", 6)
    assert found["shift_y"] == pytest.approx(off, abs=0.05)
    assert found["shift_x"] == pytest.approx(off, abs=0.05)


@pytest.mark.parametrize("off", [1, 3])
def test_d14_pairs_that_lie_further_off_are_refused_unless_that_is_accepted(tmp_path: Path, off: float) -> None:
    source = shifted(tmp_path / "set", off)
    match = (
        rf"^LR must lie within 0\.5 LR pixels of its HR, got set shifted by {off}\.0\d LR pixels down and {off}\.0\d "
    )
    with pytest.raises(ValueError, match=match):
        prepare(source, tmp_path / "store", scale=2, split="none")
    assert not (tmp_path / "store").exists()
    store = prepare(source, tmp_path / "store", scale=2, split="none", accept_shift=True)
    assert store.manifest.degradation_parameters["pairs"]["set"]["registration"]["2"]["verdict"] == "shifted"


def test_d14_pairs_too_small_to_tell_are_taken_and_said_to_be_unclear(tmp_path: Path) -> None:
    for number in range(3):
        write_pair(tmp_path / "set", f"{number}", grains(number, 30), bicubic(grains(number, 30), 2))
    store = prepare(tmp_path / "set", tmp_path / "store", scale=2, split="none")
    found = store.manifest.degradation_parameters["pairs"]["set"]["registration"]["2"]
    assert found == {"verdict": "unclear", "pairs": 0}


# D16


@pytest.mark.parametrize(
    "name",
    [
        *(b"with space", b'it\'s % "quoted"', b"line\nbreak", "größe µ".encode(), b"byte \xff", b".dots.", b"-dash"),
        *(b"x" * 250, "ü".encode() * 120, b"back\\slash", b"CON"),
    ],
)
def test_d16_odd_names_of_cores_and_slices_are_packed_and_opened_again(tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    for number in range(3):
        write_slice(folder / os.fsdecode(name[:200].lstrip(b".") + f" {number}.png".encode()), grains(number, 32))
    store = prepare(folder, tmp_path / "a store", scale=2, split="none")
    again = open_store(tmp_path / "a store")
    (core,) = again.manifest.cores
    assert again.hr(core).shape == (3, 32, 32)
    assert core.name == os.fsencode(name).decode("utf-8", "backslashreplace")
    assert core.name.encode() and core.slices[2].source.encode()  # noqa: PT018, both can be written down
    assert (store.path / core.folder).parent == store.path


def test_d16_cores_whose_names_differ_in_case_alone_have_folders_of_their_own(tmp_path: Path) -> None:
    for seed, core in enumerate(("Plug", "plug")):
        (tmp_path / "src" / core).mkdir(parents=True)
        for number in range(3):
            write_slice(tmp_path / "src" / core / f"{number}.png", grains(10 * seed + number, 32))
    store = prepare(tmp_path / "src", tmp_path / "store", scale=2, split="none")
    assert [(core.name, core.folder) for core in store.manifest.cores] == [("Plug", "Plug"), ("plug", "plug-2")]
    one, other = (store.hr(core) for core in store.manifest.cores)
    assert not (one == other).all()


# D18


def in_a_child(work: Callable[[], object]) -> int:
    """Run in a forked process, which has everything imported: a case costs milliseconds; its process number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def killed_at(last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End this process at its `last`-th call to the file system."""
    calls = count(1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(calls) == last:
                os._exit(137)
            return function(*arguments, **options)

        return call

    for name in ("replace", "rename", "mkdir", "fsync", "posix_fallocate"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(np.memmap, "flush", counted(np.memmap.flush))


def digest(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_d18_a_prepare_killed_at_any_call_leaves_no_half_store_and_a_rerun_is_bit_equal(
    make_core: MakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_core("plug", numbers=range(10))

    def packed(name: str) -> None:
        prepare(source, tmp_path / name, scale=2, degradation="unknown", gap=1)

    def doomed(last: int) -> None:
        killed_at(last, monkeypatch)
        packed("store")

    packed("whole")
    whole = digest(tmp_path / "whole")
    for last in count(1):
        _, status = os.waitpid(in_a_child(lambda: doomed(last)), 0)  # noqa: B023, called at once
        code = os.waitstatus_to_exitcode(status)
        if (tmp_path / "store").exists():
            assert digest(tmp_path / "store") == whole  # killed after the store had appeared, or not at all
            break
        assert code == 137
    assert last > 10
    assert code in {0, 137}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["plug", "store", "whole"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_d18_a_prepare_killed_from_outside_is_done_again_as_if_undisturbed(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(60), size=(256, 256))
    child = in_a_child(lambda: prepare(source, tmp_path / "store", scale=2, gap=1))
    while not list(tmp_path.glob(".store.tmp-*/plug/hr.npy")):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert not (tmp_path / "store").exists()
    again, whole = (prepare(source, tmp_path / name, scale=2, gap=1) for name in ("store", "whole"))
    assert digest(again.path) == digest(whole.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plug", "store", "whole"]  # nothing is left lying about


def test_d18_an_error_while_writing_leaves_nothing(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    (source / "slice_0007.png").write_bytes((source / "slice_0007.png").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"slice_0007\.png"):
        prepare(source, tmp_path / "store", scale=2, gap=0)
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_a_pair_of_another_scale_than_asked_for_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "1", grains(0, 64), grains(1, 16))
    (source,) = find(tmp_path, reading=Reading(scales=(4,)))
    assert source.lr[4].size == (16, 16)
    with pytest.raises(ValueError, match="^HR must be 2 times as large as LR, got 64×64"):
        find(tmp_path, reading=Reading(scales=(2,)))
