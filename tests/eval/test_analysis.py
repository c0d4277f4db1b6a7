"""coresr_eval.analysis: spectra, fineness and pores of a split, from its slices one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from coresr_eval.analysis import Analysis, within
from coresr_eval.grounds import THRESHOLDS, ground
from coresr_eval.protocol import Pair, Scored

SIZE = 64


def rock(seed: int, size: int = SIZE) -> NDArray[np.float32]:
    """Two phases, 0.2 and 0.8, with soft borders and a little noise."""
    rng = np.random.default_rng(seed)
    grains = gaussian_filter(rng.normal(size=(size, size)), 4) > 0
    soft = gaussian_filter(0.2 + 0.6 * grains, 0.7) + rng.normal(0, 0.01, (size, size))
    return np.asarray(soft, np.float32)


def blurred(image: NDArray[np.float32], sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(image, sigma))


def scored(
    hr: NDArray[np.float32], *, core: str = "plug", number: int = 0, mask: Tensor | None = None, sigma: float = 2.0
) -> Scored:
    """HR against a blurred one, called bicubic, and HR itself, called perfect; LR by block means."""
    lr = torch.from_numpy(hr.reshape(hr.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)))
    pair = Pair(core=core, slice=number, lr=lr, hr=torch.from_numpy(hr), mask=mask)
    return Scored(pair=pair, images={"bicubic": blurred(hr, sigma), "perfect": pair.hr}, scores=())


def doubled(lr: Tensor) -> Tensor:
    return functional.interpolate(lr, scale_factor=2)


def analysed(*slices: Scored) -> Analysis:
    cores = {one.pair.core: ground([one.pair.hr.numpy()], (2.0, 2.0)) for one in slices}
    analysis = Analysis(cores)
    for one in slices:
        analysis.add(one)
    return analysis


def test_hr_itself_agrees_with_hr_in_everything() -> None:
    analysis = analysed(scored(rock(0)), scored(rock(1), number=1))
    perfect, pores = analysis.fineness()["perfect"], analysis.pores()["plug"]
    assert (perfect.distance_db, perfect.beyond_lr_db) == (0.0, 0.0)
    assert perfect.resolution == 2.0  # two pixels: all that the grid can hold
    np.testing.assert_allclose(perfect.correlation, 1)
    np.testing.assert_array_equal(perfect.power, analysis.hr[1])
    assert pores["perfect"].dice == 1
    np.testing.assert_array_equal(pores["perfect"].curve, pores["hr"].curve)


def test_a_blurred_image_agrees_less_and_its_porosity_hangs_more_on_the_threshold() -> None:
    analysis = analysed(scored(rock(0)))
    soft, pores = analysis.fineness()["bicubic"], analysis.pores()["plug"]
    assert soft.resolution > 2
    assert soft.distance_db > 3
    assert soft.beyond_lr_db < -10
    assert pores["bicubic"].dice < 1
    assert pores["bicubic"].high - pores["bicubic"].low > 1.5 * (pores["hr"].high - pores["hr"].low)
    assert pores["bicubic"].surface < pores["hr"].surface


def test_numbers_are_means_over_slices_and_medians_where_they_say_so() -> None:
    slices = [scored(rock(number), number=number, sigma=1 + number) for number in range(3)]
    together, alone = analysed(*slices), []
    for one in slices:
        each = Analysis(together.grounds)
        each.add(one)
        alone.append(each)
    found, single = together.fineness()["bicubic"], [one.fineness()["bicubic"] for one in alone]
    assert found.distance_db == pytest.approx(np.mean([one.distance_db for one in single]))
    assert found.resolution == np.median([one.resolution for one in single])
    hr = [one.hr for one in alone]
    energies = [
        sum(float((power * frequency)[frequency > 0.25].sum()) for frequency, power in spectra)
        for spectra in ([(one.frequency, one.power) for one in single], hr)
    ]
    assert found.beyond_lr_db == pytest.approx(10 * math.log10(energies[0] / energies[1]), abs=0.05)
    assert abs(found.beyond_lr_db - np.mean([one.beyond_lr_db for one in single])) > 0.5
    pores = [one.pores()["plug"]["bicubic"] for one in alone]
    assert together.pores()["plug"]["bicubic"].porosity == pytest.approx(np.mean([one.porosity for one in pores]))
    assert together.slices == 3


def test_the_porosity_is_that_at_the_threshold() -> None:
    hr = rock(0)
    analysis = analysed(scored(hr))
    at = analysis.grounds["plug"]
    assert at.thresholds[THRESHOLDS // 2] == pytest.approx(at.threshold)
    assert analysis.pores()["plug"]["hr"].porosity == pytest.approx((hr <= at.threshold).mean())


def test_surfaces_are_per_micrometre_where_the_voxel_is_known() -> None:
    hr = rock(0)
    in_um, in_pixels = Analysis({"plug": ground([hr], (2.0, 2.0))}), Analysis({"plug": ground([hr])})
    for one in (in_um, in_pixels):
        one.add(scored(hr))
    assert in_um.pores()["plug"]["hr"].surface == pytest.approx(in_pixels.pores()["plug"]["hr"].surface / 2)


def test_each_core_has_pores_of_its_own_and_one_without_ground_none() -> None:
    analysis = Analysis({"plug": ground([rock(0)])})
    analysis.add(scored(rock(0)))
    analysis.add(scored(rock(1), core="coal"))
    assert set(analysis.pores()) == {"plug"}
    assert analysis.slices == 2


def test_slices_of_several_sizes_make_one_spectrum() -> None:
    """Waves of one length in small and large slices are one peak."""
    waves = [
        np.tile(0.5 + 0.3 * np.sin(2 * np.pi * 0.25 * np.arange(size)), (size, 1)).astype(np.float32)
        for size in (SIZE, 2 * SIZE)
    ]
    analysis = Analysis({})
    for number, hr in enumerate(waves):
        analysis.add(scored((hr + rock(number, size=len(hr)) / 100).astype(np.float32), number=number))
    for frequency, power in (analysis.hr, (analysis.hr[0], analysis.fineness()["perfect"].power)):
        assert frequency[power.argmax()] == pytest.approx(0.25, abs=0.01)
        assert power[frequency > 0.4].max() < power.max() / 100


def test_what_lies_outside_the_mask_is_not_looked_at() -> None:
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[8:56, 8:56] = True
    hr = rock(0)
    spoiled = hr.copy()
    spoiled[~mask.numpy()] = 0
    at = ground([hr[8:56, 8:56]])
    clean, dirty = Analysis({"plug": at}), Analysis({"plug": at})
    clean.add(scored(hr, mask=mask, sigma=0))
    dirty.add(scored(spoiled, mask=mask, sigma=0))
    assert clean.pores()["plug"]["hr"].porosity == dirty.pores()["plug"]["hr"].porosity
    np.testing.assert_array_equal(clean.hr[1], dirty.hr[1])


def test_detail_outside_the_mask_is_no_detail() -> None:
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[8:56, 8:56] = True
    one = scored(rock(0), mask=mask)
    pair = replace(one.pair, operator=lambda hr: functional.avg_pool2d(hr, 2), pinv=doubled)
    noise = torch.rand(SIZE, SIZE)
    images = {"outside": pair.hr.where(mask, noise), "inside": pair.hr.where(~mask, noise)}
    analysis = Analysis({})
    analysis.add(replace(one, pair=pair, images=images))
    found = analysis.fineness()
    assert found["outside"].invented == 0
    assert (found["inside"].invented or 0) > 1


def test_wrong_detail_is_of_summed_energies_and_says_of_how_many_slices() -> None:
    """A slice that has next to none of its own decides nothing."""
    analysis = Analysis({})
    for number, contrast in enumerate((1.0, 1e-3)):
        one = scored(contrast * rock(number), number=number)
        pair = replace(one.pair, operator=lambda hr: functional.avg_pool2d(hr, 2), pinv=doubled)
        images = {"m": pair.hr + (0.001 * torch.rand(SIZE, SIZE) if contrast < 1 else 0)}
        analysis.add(replace(one, pair=pair, images=images))
    analysis.add(scored(rock(2), number=2))
    found = analysis.fineness()
    assert found["m"].told == 2
    assert found["m"].invented is not None
    assert found["m"].invented < 0.01
    assert found["bicubic"].told == 0
    assert found["bicubic"].invented is None


def test_a_slice_that_shows_next_to_no_rock_is_skipped_and_counted() -> None:
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[:8] = True
    analysis = Analysis({"plug": ground([rock(0)])})
    analysis.add(scored(rock(0), mask=mask))
    assert (analysis.slices, analysis.skipped) == (0, 1)
    assert not analysis.pores()
    assert not analysis.fineness()


def test_a_flat_slice_is_skipped_and_spoils_no_mean() -> None:
    analysis = Analysis({"plug": ground([rock(0)])})
    analysis.add(scored(np.full((SIZE, SIZE), 0.5, np.float32)))
    analysis.add(scored(rock(0)))
    assert (analysis.slices, analysis.skipped) == (1, 1)
    assert math.isfinite(analysis.fineness()["bicubic"].beyond_lr_db)


@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from([2, 3, 4]), st.integers(0, 30))
def test_the_part_inside_a_mask_is_the_same_piece_of_lr_and_hr(h: int, w: int, scale: int, rim: int) -> None:
    mask = torch.zeros(scale * h, scale * w, dtype=torch.bool)
    mask[rim : scale * h - rim, rim : scale * w - rim] = True
    inside = within(mask, mask.shape, scale)
    if inside is None:
        assert min(scale * h, scale * w) - 2 * rim < 16 + 2 * scale + 0.02 * scale * max(h, w)
        return
    (low_y, low_x), (high_y, high_x) = inside
    assert bool(mask[high_y, high_x].all())
    for low, high in ((low_y, high_y), (low_x, high_x)):
        assert (high.start, high.stop) == (scale * low.start, scale * low.stop)
        assert high.stop - high.start >= 16
    if rim == 0:
        assert (low_y, low_x) == (slice(0, h), slice(0, w))
