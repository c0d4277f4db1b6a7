"""The measures on real rock: figures that others published bound them, where there are any."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch.nn.functional import interpolate

from coresr_eval.petrophysics import (
    around,
    connected_porosity,
    dice,
    formation_factor,
    minkowski,
    otsu,
    permeability,
    pore_sizes,
    porosity,
    porosity_curve,
    segment,
    specific_surface,
    stokes_permeability,
    sweep,
    threshold_from_labels,
    two_point,
)


@cache
def berea(folder: Path) -> np.ndarray:
    with np.load(folder / "berea-segmented" / "berea_200.npz", allow_pickle=False) as file:
        return np.asarray(file["im"])


def stack(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.stack([np.asarray(page) for page in ImageSequence.Iterator(file)])


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Bicubic, antialiased where it shrinks."""
    size = tuple(round(n * factor) for n in image.shape)
    grey = torch.from_numpy(image.astype(np.float32))[None, None]
    return interpolate(grey, size=size, mode="bicubic", antialias=factor < 1, align_corners=False)[0, 0].numpy()


def test_berea_has_the_porosity_and_the_connection_of_a_clean_sandstone(real_data: Path) -> None:
    found = connected_porosity(berea(real_data))
    assert found.porosity == 0.19871525  # of Berea, 0.18 to 0.22 are published
    assert all(share > 0.99 * found.porosity for share in found.through)
    assert found.isolated < 0.01 * found.porosity


def test_surfaces_of_berea_by_crofton_and_by_the_slope_of_s2_agree(real_data: Path) -> None:
    rock = berea(real_data)[:100, :100, :100]
    measured = minkowski(rock, voxel_um=1.0)
    correlated = two_point(rock, voxel_um=1.0, max_um=30)
    assert correlated.specific_surface == pytest.approx(measured.specific_surface, rel=0.04)
    assert correlated.s2[-1] == pytest.approx(measured.porosity**2, rel=0.15)
    assert measured.euler < 0  # more loops than pores


def test_berea_conducts_as_archies_law_has_it(real_data: Path) -> None:
    """F = φ^-m with m from 1.6 to 2.4, as is published of sandstones, in a block of 80³ voxels."""
    rock = berea(real_data)[60:140, 60:140, 60:140]
    for axis in (0, 2):
        exponent = math.log(formation_factor(rock, voxel_um=1.0, axis=axis)) / -math.log(porosity(rock))
        assert 1.6 < exponent < 2.4


def test_pores_of_berea_are_some_voxels_wide(real_data: Path) -> None:
    rock = berea(real_data)[60:120, 60:120, 60:120]
    found = pore_sizes(rock, voxel_um=1.0)
    assert 3 <= found.d10 < found.d50 < found.d90 <= 20
    assert 4 * porosity(rock) / specific_surface(rock, voxel_um=1.0) == pytest.approx(found.d50, rel=0.6)


def test_johnsons_permeability_of_a_block_of_berea_is_about_twice_that_of_stokes(real_data: Path) -> None:
    rock = berea(real_data)[40:80, 40:80, 40:80]
    ratio = permeability(rock, voxel_um=1.0).johnson_um2 / stokes_permeability(rock, voxel_um=1.0)
    assert 1 < ratio < 2.5


def test_a_threshold_fixed_on_hr_finds_the_labelled_pores_and_fewer_of_them_in_blurred_slices(real_data: Path) -> None:
    folder = real_data / "sandstone-versa"
    shared = sorted(
        {f.name for f in (folder / "slices").glob("*.png")} & {f.name for f in (folder / "labels").glob("*.png")}
    )
    slices = [np.asarray(Image.open(folder / "slices" / name)) for name in shared]
    labels = [np.asarray(Image.open(folder / "labels" / name)) for name in shared]
    threshold = threshold_from_labels(slices[:-2], labels[:-2], 0)
    for hr, phases in zip(slices[-2:], labels[-2:], strict=True):
        pore = segment(hr, threshold)
        x2, x4 = (segment(resized(resized(hr, 1 / scale), scale), threshold) for scale in (2, 4))
        assert dice(pore, phases == 0)[True] > 0.85
        assert dice(x2, phases == 0)[True] > 0.85  # halving takes noise away, too
        assert dice(x4, phases == 0)[True] < dice(pore, phases == 0)[True] - 0.02
        assert dice(x4, pore)[True] < dice(x2, pore)[True] - 0.03


def test_over_thresholds_fixed_on_hr_the_porosity_of_lr_varies_thrice_as_much_as_that_of_hr(real_data: Path) -> None:
    """Published of this rock: HR 0.205 to 0.228, LR 0.142 to 0.261."""
    hr = stack(real_data / "bentheimer-pair" / "hr_2um.tif").astype(np.float32) / 255
    lr = stack(real_data / "bentheimer-pair" / "lr_6um.tif").astype(np.float32) / 255
    bicubic = np.stack([resized(image, 3) for image in lr])
    thresholds = around(hr, otsu(hr))
    ranges = {
        name: np.ptp(porosity_curve(image, thresholds)) for name, image in (("hr", hr), ("lr", lr), ("x3", bicubic))
    }
    assert ranges["lr"] > 3 * ranges["hr"]
    assert ranges["x3"] == pytest.approx(ranges["lr"], rel=0.05)
    low, high = sweep({"hr": hr[::30]}, thresholds[::21], voxel_um=2.0).images["hr"].porosity_range
    assert 0.18 < low < high < 0.25
