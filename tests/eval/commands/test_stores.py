"""`score MODEL --data STORE`: which slices of a store are scored, and where their pores are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("coresr_data")
pytest.importorskip("coresr_models")

from coresr_data import prepare
from coresr_data.formats.images import write_slice
from coresr_eval.__main__ import main
from coresr_eval.cli import UsageError
from coresr_eval.petrophysics import otsu

Levels = NDArray[np.uint8]


def rock(seed: int, height: int = 64, width: int = 64) -> Levels:
    """Pores of 90 and grains of 160, with noise: darker than neither is what lies around a round sample."""
    rng = np.random.default_rng(seed)
    blocks = rng.random((height // 8, width // 8)) < 0.4
    levels = np.where(np.kron(blocks, np.ones((8, 8))), 90, 160) + rng.normal(0, 4, (height, width))
    return np.asarray(levels.round(), np.uint8)


def disc(side: int = 64) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(y**2 + x**2 < (side / 2 - 2) ** 2)


def stored(root: Path, slices: dict[str, Levels], **how: Any) -> Path:
    """A store of the slices of one core, by their file names, not split."""
    (root / "core").mkdir()
    for name, levels in slices.items():
        write_slice(root / "core" / name, levels)
    prepare(root / "core", root / "store", scale=2, split="none", **how)
    return root / "store"


def summed_up(store: Path, *words: str) -> tuple[dict[str, Any], str]:
    out = store.parent / "out"
    main(["score", "bicubic", "--data", str(store), "--split", "train", "--out", str(out), *words])
    return json.loads((out / "summary.json").read_text()), (out / "index.html").read_text()


def masked(root: Path, mask: NDArray[np.bool_]) -> Path:
    write_slice(root / "mask.png", np.where(mask, 255, 0).astype(np.uint8))
    return root / "mask.png"


def test_the_threshold_is_that_of_the_rock_and_not_of_what_lies_around_it(tmp_path: Path) -> None:
    slices = {f"{z}.png": np.where(disc(), rock(z), 0).astype(np.uint8) for z in range(4)}
    found, _ = summed_up(stored(tmp_path, slices, mask=masked(tmp_path, disc())))
    inside = otsu([levels[disc()] / 255 for levels in slices.values()])
    around = otsu([levels / 255 for levels in slices.values()])
    assert found["pores"]["core"]["threshold"] == pytest.approx(inside, abs=1 / 255)
    assert 90 / 255 < inside < 160 / 255
    assert around < 90 / 255


def test_all_sizes_of_a_core_say_where_its_pores_are(tmp_path: Path) -> None:
    slices = {"0.png": rock(0), "1.png": rock(1), "2.png": rock(2, 48, 80) // 2, "3.png": rock(3, 48, 80) // 2}
    found, _ = summed_up(stored(tmp_path, slices, several_sizes=True, accept_similar=True))
    expected = otsu([levels.ravel() / 255 for levels in slices.values()])
    assert found["pores"]["core"]["threshold"] == pytest.approx(expected, abs=1 / 255)


def test_slices_without_rock_are_left_out_and_counted(tmp_path: Path) -> None:
    mask = np.zeros((4, 64, 64), bool)
    mask[:3, 8:56, 8:56] = True
    mask[3, 30:34, 30:34] = True
    np.save(tmp_path / "mask.npy", mask)
    slices = {f"{z}.png": rock(z) for z in range(4)}
    found, page = summed_up(stored(tmp_path, slices, mask=tmp_path / "mask.npy"))
    assert found["rows"][0]["n"] == 3
    assert "1 of 4 slices are left out" in page


def test_a_pore_level_that_parts_nothing_is_said_and_stops_nothing(tmp_path: Path) -> None:
    store = stored(tmp_path, {f"{z}.png": rock(z) for z in range(2)})
    found, page = summed_up(store, "--pore", "20")
    assert found["pores"] == {}
    assert "Nothing is said of the pores of core, which has no level on one side of --pore." in page


def test_the_pore_level_is_one_of_the_store(tmp_path: Path) -> None:
    slices = {f"{z}.png": rock(z) for z in range(2)}
    found, _ = summed_up(stored(tmp_path, slices), "--pore", "100")
    assert found["pores"]["core"]["threshold"] == pytest.approx(100 / 255)
    expected = np.mean([(levels <= 100).mean() for levels in slices.values()])
    assert found["pores"]["core"]["images"]["hr"]["porosity"] == pytest.approx(expected)


def test_a_store_that_was_not_split_says_so(tmp_path: Path) -> None:
    _, page = summed_up(stored(tmp_path, {f"{z}.png": rock(z) for z in range(2)}))
    assert "The store was not split." in page


def test_lengths_are_in_micrometres_of_either_side_of_a_pixel(tmp_path: Path) -> None:
    for name, voxel in (("pixels", None), ("um", 2.0)):
        (tmp_path / name).mkdir()
        found, page = summed_up(stored(tmp_path / name, {"0.png": rock(0), "1.png": rock(1)}, voxel_um=voxel))
        surface = found["pores"]["core"]["images"]["hr"]["surface"]
        if voxel is None:
            plain = surface
        assert ("1/mm²" in page) == (voxel is not None)
    assert surface == pytest.approx(plain / 2)


def test_wrong_detail_says_of_how_many_slices_it_is(tmp_path: Path) -> None:
    store = stored(tmp_path, {f"{z}.png": rock(z) for z in range(8)}, degradation="blur", accept_similar=True)
    found, page = summed_up(store)
    told = found["fineness"]["bicubic"].get("wrong_detail_slices", 8)
    assert 0 < told < 8
    assert f"Wrong detail is of {'one slice' if told == 1 else f'{told} slices'}:" in page


@pytest.mark.parametrize("flag", [["--lr", "x"], ["--window", "0", "1"]])
def test_options_of_folders_are_refused(tmp_path: Path, flag: list[str]) -> None:
    with pytest.raises(UsageError, match=f"^{flag[0]} must be left out where a store is scored"):
        main(["score", "bicubic", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *flag])


def test_images_that_are_projected_back_say_so_and_bicubic_is_one_of_them(tmp_path: Path) -> None:
    store = stored(tmp_path, {f"{z}.png": rock(z) for z in range(3)}, accept_similar=True)
    found, page = summed_up(store, "--back-project")
    assert found["protocol"]["back_project"] is True
    assert found["rows"][0]["lr_psnr"] > 100
    assert "the nearest to what its model made that gives its LR back" in page


def test_lr_of_an_operator_that_nobody_will_know_is_not_projected_back(tmp_path: Path) -> None:
    store = stored(tmp_path, {f"{z}.png": rock(z) for z in range(3)}, degradation="blur", accept_similar=True)
    with pytest.raises(UsageError, match="--back-project must have a store of bicubic LR, got blur"):
        main(["score", "bicubic", "--data", str(store), "--out", str(tmp_path / "out"), "--back-project"])
