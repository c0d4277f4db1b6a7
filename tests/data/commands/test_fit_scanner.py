"""`fit-scanner` reads a pair in any format, writes its JSON once, and prints what it found and how well it fits."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.cli import Parser, UsageError
from coresr_data.commands import fit_scanner as command
from coresr_data.degrade.scanner import Noise
from coresr_data.fitting.fitted import Match, ScannerFit, load_fit
from coresr_data.volume import Volume


def parsed(*arguments: object) -> Namespace:
    parser = Parser(prog="test")
    command.add(parser.add_subparsers(required=True))
    return parser.parse_args(["fit-scanner", *map(str, arguments)])


def fit(*arguments: object) -> None:
    options = parsed(*arguments)
    options.command(options)


def volume(levels: NDArray[np.generic]) -> Volume:
    n, *size = levels.shape
    return Volume(
        core="plug",
        numbers=tuple(range(n)),
        names=tuple(f"plug[{k}]" for k in range(n)),
        size=(size[0], size[1]),
        dtype=levels.dtype,
        read=lambda index: levels[index],
        sources=(Path("plug.tif"),),
    )


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """LR and HR as TIFF stacks: 19×26×43 voxels, three times as many in HR, σ 2.0, 2.5, 3.0."""
    rng = np.random.default_rng(0)
    hr = np.where(ndimage.gaussian_filter(rng.standard_normal((57, 78, 129)), 1.5) > 0, 180.0, 70.0)
    lr = ndimage.gaussian_filter(hr, (2.0, 2.5, 3.0), mode="reflect").reshape(19, 3, 26, 3, 43, 3).mean(axis=(1, 3, 5))
    for name, levels in (("lr", lr + rng.normal(0, 1.5, lr.shape)), ("hr", hr)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.rint(levels).astype(np.uint8), photometric="minisblack")
    return tmp_path / "lr.tif", tmp_path / "hr.tif"


def test_the_report_says_what_was_found_and_the_file_holds_it(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scanner.json"
    fit(*pair, "--scale", 3, "--out", out)
    found = load_fit(out)
    assert found.sigma == pytest.approx((2.0, 2.5, 3.0), rel=0.04)
    said = capsys.readouterr().out
    assert "×3, 19×26×43 LR, 3 HR slices to one of LR; columns" in said
    assert f"σ z {found.sigma[0]:.2f}, y {found.sigma[1]:.2f}, x {found.sigma[2]:.2f} HR pixels" in said
    assert f"std {found.noise.gaussian:.4f} on [0, 1]" in said
    for name, match in (("bicubic", found.bicubic), ("fit", found.fit)):
        (line,) = (one for one in said.splitlines() if one.startswith(f"  {name}  "))
        assert f"{match.psnr:.2f} dB" in line
        assert f"{match.residual_std:.4f}" in line
    assert f"{found.gain_db:+.1f} dB more than bicubic" in said
    assert f"--degradation {out}" in said


def test_slices_may_be_taken_along_another_axis(pair: tuple[Path, Path], tmp_path: Path) -> None:
    fit(*pair, "--scale", 3, "--axis", "x", "--out", tmp_path / "scanner.json")
    assert load_fit(tmp_path / "scanner.json").sigma == pytest.approx((3.0, 2.0, 2.5), rel=0.04)


def test_a_window_is_what_noise_is_counted_in(pair: tuple[Path, Path], tmp_path: Path) -> None:
    fit(*pair, "--scale", 3, "--window", 0, 100, "--out", tmp_path / "scanner.json")
    assert load_fit(tmp_path / "scanner.json").noise.gaussian == pytest.approx(0.015, rel=0.1)


def test_float_levels_need_a_window(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for path in pair:
        tifffile.imwrite(path, tifffile.imread(path).astype(np.float32), photometric="minisblack")
    with pytest.raises(ValueError, match="^window must be declared for float32 grey levels; give --window LOW HIGH$"):
        fit(*pair, "--scale", 3, "--out", tmp_path / "scanner.json")
    fit(*pair, "--scale", 3, "--window", 0, 255, "--out", tmp_path / "scanner.json")
    assert load_fit(tmp_path / "scanner.json").noise.gaussian == pytest.approx(1.5 / 255, rel=0.1)


def test_voxels_are_told_in_micrometres_along_the_axes_as_fitted(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from coresr_data import formats

    opened = formats.open_volume
    monkeypatch.setattr(
        formats, "open_volume", lambda path, **how: replace(opened(path, **how), voxel_um=(10.0, 20.0, 40.0))
    )
    fit(*pair, "--scale", 3, "--axis", "y", "--out", tmp_path / "scanner.json")
    z, y, x = load_fit(tmp_path / "scanner.json").sigma  # slices along y show z and x
    assert f"= z {20 * z:.1f}, y {10 * y:.1f}, x {40 * x:.1f} µm" in capsys.readouterr().out


def test_a_pair_that_is_off_and_a_noise_of_photons_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    match = Match(residual_std=0.1, psnr=20.0, explained=0.5, spectrum_db=1.0)
    found = ScannerFit(
        scale=2,
        sigma=(1.0, 2.0),
        shift=(0.1, -0.2),
        gain=0.5,
        offset=-0.1,
        grey_needed=True,
        noise=Noise(gaussian=0.01, poisson=4e-4),
        correlation_z=None,
        held_out="slices 2–2 of 3",
        bicubic=match,
        bicubic_matched=match,
        fit=match,
        fit_with_noise=match,
    )
    command.report(found, fitted_on="3×40×40")
    near = capsys.readouterr().out
    assert "variance 0.0100² + 4.00e-04 · signal on [0, 1], smooth over 0.00 pixels\n" in near
    assert "LR = 0.500 · HR -0.1000 on [0, 1], and LR made without it does not match" in near
    assert "σ y 1.00, x 2.00 HR pixels, then bins" in near
    assert "shift      y +0.10, x -0.20 LR pixels\n" in near
    command.report(replace(found, shift=(0.1, -0.3)), fitted_on="3×40×40")
    assert "shift      y +0.10, x -0.30 LR pixels; align the pair" in capsys.readouterr().out


def test_a_file_that_is_there_or_has_another_suffix_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coresr_data.formats.open_volume", lambda path, **how: pytest.fail("nothing may be read"))
    (tmp_path / "scanner.json").write_text("mine")
    with pytest.raises(FileExistsError, match="^out must be a new file"):
        fit("lr", "hr", "--scale", 3, "--out", tmp_path / "scanner.json")
    with pytest.raises(UsageError, match=r"^out must end in \.json"):
        fit("lr", "hr", "--scale", 3, "--out", tmp_path / "scanner.txt")


# In any format that prepare reads


def test_raw_files_have_a_header_each_and_named_arrays_their_name(pair: tuple[Path, Path], tmp_path: Path) -> None:
    fit(*pair, "--scale", 3, "--out", tmp_path / "tif.json")
    lr, hr = (tifffile.imread(path) for path in pair)
    for name, levels in (("lr", lr), ("hr", hr)):
        levels.tofile(tmp_path / f"{name}.raw")
        np.savez(tmp_path / f"{name}.npz", rock=levels, other=levels[1:])
    headers = ["--raw", "19x26x43:uint8", "--raw", "57x78x129:uint8"]
    for kinds, options in (
        (("raw", "raw"), headers),
        (("tif", "raw"), headers[2:]),
        (("raw", "npz"), [*headers[:2], "--variable", "rock"]),
        (("npz", "npz"), ["--variable", "rock"]),
    ):
        out = tmp_path / f"{'-'.join(kinds)}.json"
        fit(tmp_path / f"lr.{kinds[0]}", tmp_path / f"hr.{kinds[1]}", "--scale", 3, *options, "--out", out)
        assert load_fit(out) == load_fit(tmp_path / "tif.json")


@pytest.mark.parametrize("count", [1, 3])
def test_headers_that_are_too_few_or_many_are_usage(tmp_path: Path, count: int) -> None:
    for name in ("lr.raw", "hr.raw"):
        (tmp_path / name).touch()
    headers = ["--raw", "19x26x43:uint8"] * count
    with pytest.raises(UsageError, match=f"^--raw must be said once for each raw file, got {count} for 2; LR comes"):
        fit(tmp_path / "lr.raw", tmp_path / "hr.raw", "--scale", 3, *headers, "--out", tmp_path / "scanner.json")


def test_a_missing_scan_is_missing_input(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^volume must be a file or a folder, got .*none\.raw"):
        fit(tmp_path / "none.raw", pair[1], "--scale", 3, "--out", tmp_path / "scanner.json")


# Which part of a large pair is fitted


def test_a_small_pair_is_taken_whole() -> None:
    lr = np.arange(4 * 6 * 8).reshape(4, 6, 8).astype(np.uint8)
    hr = np.repeat(np.repeat(lr, 2, axis=1), 2, axis=2)
    low, high, said = command.middle(volume(lr), volume(hr), 2)
    np.testing.assert_array_equal(low, lr)
    np.testing.assert_array_equal(high, hr)
    assert said == "4×6×8"


@pytest.mark.parametrize("deep", [False, True])
def test_the_middle_of_a_large_pair_shows_the_same_rock_in_both(deep: bool) -> None:
    lr = np.random.default_rng(0).integers(0, 256, (9, 21, 40), np.uint8)
    hr = np.repeat(np.repeat(lr, 3, axis=1), 3, axis=2)
    hr = np.repeat(hr, 3, axis=0) if deep else hr
    low, high, said = command.middle(volume(lr), volume(hr), 3, most=30_000)
    assert high.size <= 30_000 < 8 * high.size
    assert high.shape == (low.shape[0] * (3 if deep else 1), 3 * low.shape[1], 3 * low.shape[2])
    np.testing.assert_array_equal(high[:: 3 if deep else 1, ::3, ::3], low)
    middle = tuple((n - w) // 2 for n, w in zip(lr.shape, low.shape, strict=True))
    cut = tuple(slice(m, m + w) for m, w in zip(middle, low.shape, strict=True))
    np.testing.assert_array_equal(low, lr[cut])
    assert said == f"the middle {'×'.join(map(str, low.shape))} of 9×21×40"


@pytest.mark.parametrize("shape", [(4, 12, 15), (4, 12, 17), (7, 12, 16), (12, 12, 16)])
def test_volumes_that_do_not_pair_are_refused_by_name(shape: tuple[int, int, int]) -> None:
    lr, hr = np.zeros((4, 6, 8), np.uint8), np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match=r"^HR must be 2 times LR .* got LR 4×6×8 in plug.tif and HR .* in plug.tif"):
        command.middle(volume(lr), volume(hr), 2)
