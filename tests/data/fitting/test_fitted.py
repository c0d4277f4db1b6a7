"""A fitted scanner survives its file, and its recipe makes what it measured."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coresr_data.degrade import apply
from coresr_data.degrade.recipes import DEGRADATIONS
from coresr_data.degrade.scanner import Drift, Noise
from coresr_data.degrade.steps import Bin, Blur
from coresr_data.fitting.fitted import Match, ScannerFit, load_fit, recipe_of, save_fit, steps_of
from coresr_data.formats.images import write_slice
from coresr_data.intensity import Window
from coresr_data.packing import prepare
from coresr_data.patches import keyed

MATCHES = {
    name: Match(residual_std=0.1 / k, psnr=20.0 + k, explained=0.5, spectrum_db=1 / 3)
    for k, name in enumerate(("bicubic", "bicubic_matched", "fit", "fit_with_noise"), 1)
}
FIT = ScannerFit(
    scale=3,
    sigma=(3.1, 3.4, 3.5),
    shift=(0.4, 1 / 3, -0.2),
    gain=0.8,
    offset=0.05,
    grey_needed=True,
    noise=Noise(gaussian=0.012, poisson=3e-4, correlation=0.9),
    correlation_z=1.04,
    held_out="columns 86–125 of 130",
    **MATCHES,
)
FLAT = replace(FIT, sigma=(3.4, 3.5), shift=(0.0, 0.0), correlation_z=None)


@pytest.mark.parametrize("fit", [FIT, FLAT])
def test_a_fit_comes_back_from_its_file_exactly(fit: ScannerFit, tmp_path: Path) -> None:
    save_fit(fit, tmp_path / "scanner.json")
    assert load_fit(tmp_path / "scanner.json") == fit
    assert [path.name for path in tmp_path.iterdir()] == ["scanner.json"]


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "scanner.json"
    path.write_text("mine")
    with pytest.raises(
        FileExistsError, match="^out must be a new file, got .*scanner.json; remove it or name another$"
    ):
        save_fit(FIT, path)
    assert path.read_text() == "mine"


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        save_fit(replace(FIT, gain=float("nan")), tmp_path / "scanner.json")
    assert list(tmp_path.iterdir()) == []


def edited(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": "coresr scanner fit",
        "schema": 1,
        "scale": 3,
        "sigma": [3.0, 3.0],
        "shift": [0.0, 0.0],
        "gain": 1.0,
        "offset": 0.0,
        "grey_needed": False,
        "noise": {"gaussian": 0.01, "poisson": 0.0, "correlation": 0.0},
        "correlation_z": None,
        "held_out": "",
        **{name: {"residual_std": 0, "psnr": 1, "explained": 1, "spectrum_db": 0} for name in MATCHES},
    }
    return {**fields, **changes}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        json.dumps(edited())[:-40],
        json.dumps(edited(schema=2)),
        json.dumps(edited(kind="store")),
        json.dumps(edited(extra=1)),
        json.dumps(edited(sigma=[-1, 1])),
        json.dumps(edited(sigma=[1])),
        json.dumps(edited(sigma=[1, 1, 1])),
        json.dumps(edited(sigma=[], shift=[])),
        json.dumps(edited(sigma=["1", 1])),
        json.dumps(edited(gain=0)),
        json.dumps(edited(gain="1")),
        json.dumps(edited(offset=float("nan"))),
        json.dumps(edited(scale=1)),
        json.dumps(edited(scale=2.5)),
        json.dumps(edited(noise={"gaussian": -1})),
        json.dumps(edited(noise=None)),
        json.dumps({name: value for name, value in edited().items() if name != "fit"}),
    ],
)
def test_another_file_or_half_a_one_is_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "scanner.json"
    path.write_text(content)
    with pytest.raises(
        ValueError, match="scanner.json must be a whole file of fit-scanner, got .*; fit the scanner again$"
    ):
        load_fit(path)


def test_a_file_written_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scanner.json"
    path.write_text(json.dumps(edited()))
    assert load_fit(path).sigma == (3.0, 3.0)


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "scanner.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="scanner.json must be a whole file of fit-scanner"):
        load_fit(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^scanner must be a JSON file of fit-scanner, got .*not there$"):
        load_fit(tmp_path / "none.json")


# Recipes


def test_slices_are_blurred_by_the_last_two_sigmas_then_binned() -> None:
    for fit in (FIT, FLAT):
        blur, bins, noise = steps_of(fit)
        assert blur == Blur(sigma_y=3.4, sigma_x=3.5)
        assert bins == Bin()
        assert isinstance(noise, Noise)
        assert noise.correlation == 0.9


def test_with_its_grey_levels_the_scanner_is_as_fitted() -> None:
    assert steps_of(FIT, grey=True) == (Blur(sigma_y=3.4, sigma_x=3.5), Bin(), Drift(gain=0.8, offset=0.05), FIT.noise)


@pytest.mark.parametrize("signal", [0.1, 0.7])
def test_without_its_grey_levels_the_noise_is_as_strong_against_the_signal(signal: float) -> None:
    hr = np.full((600, 600), signal)
    own, plain = (
        apply(hr, steps_of(FIT, grey=grey), scale=3, window=Window(0, 1), rng=keyed("grey")) for grey in (True, False)
    )
    np.testing.assert_allclose((own - 0.05) / 0.8, plain, atol=1e-12)
    assert float(plain.mean()) == pytest.approx(signal, abs=0.002)


def test_a_noise_that_would_be_negative_at_signal_zero_is_none_there() -> None:
    below = replace(FIT, offset=-0.9, noise=Noise(gaussian=0.01, poisson=3e-4))
    noise = steps_of(below)[-1]
    assert isinstance(noise, Noise)
    assert noise.gaussian == 0
    assert noise.poisson == pytest.approx(3e-4 / 0.8)


def test_a_recipe_is_found_by_name_or_by_file(tmp_path: Path) -> None:
    save_fit(FIT, tmp_path / "scanner.json")
    rng = keyed("untouched")
    assert recipe_of(str(tmp_path / "scanner.json"), scale=3)(rng) == steps_of(FIT)
    assert rng.random() == keyed("untouched").random()
    for name, recipe in DEGRADATIONS.items():
        assert recipe_of(name, scale=2) is recipe


def test_a_scanner_serves_the_scale_that_it_was_fitted_at(tmp_path: Path) -> None:
    save_fit(FIT, tmp_path / "scanner.json")
    with pytest.raises(ValueError, match="^scale must be 3, the one that .*scanner.json was fitted at, got 2$"):
        recipe_of(str(tmp_path / "scanner.json"), scale=2)


def test_unknown_degradations_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        ValueError, match="^degradation must be one of bicubic, .*second-order, or a scanner.json .*, got blurr$"
    ):
        recipe_of("blurr", scale=2)


def test_the_gain_in_db_is_over_bicubic_at_its_best() -> None:
    assert FIT.gain_db == pytest.approx(1)


def test_a_store_that_a_fitted_scanner_made_keeps_its_figures(tmp_path: Path) -> None:
    save_fit(FIT, tmp_path / "scanner.json")
    (tmp_path / "core").mkdir()
    for number in range(3):
        levels = np.random.default_rng(number).integers(0, 256, (48, 48)).astype(np.uint8)
        write_slice(tmp_path / "core" / f"{number}.png", levels)
    store = prepare(tmp_path / "core", tmp_path / "store", scale=3, split="none", degradation=tmp_path / "scanner.json")
    kept = store.manifest.degradation_parameters["scanner"]
    assert kept == json.loads(json.dumps(asdict(FIT)))
