import tracemalloc

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from coresr_eval.petrophysics import around, dice, multi_otsu, otsu, phases, segment, threshold_from_labels


def rock(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0, 1, 2 and grey levels 0.2, 0.5, 0.8 with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=(120, 120), p=[0.2, 0.3, 0.5])
    return labels, (0.2 + 0.3 * labels + 0.05 * rng.standard_normal(labels.shape)).astype(np.float32)


def test_otsu_has_the_least_variance_within_its_classes_of_all_thresholds() -> None:
    _, hr = rock()
    chosen = otsu(hr)

    def within(threshold: float) -> float:
        dark = hr <= threshold
        return float(hr[dark].var(dtype=np.float64) * dark.mean() + hr[~dark].var(dtype=np.float64) * (~dark).mean())

    assert within(chosen) <= min(within(t) for t in np.unique(hr)[1:-1:10]) + 1e-12
    assert chosen == pytest.approx(threshold_otsu(hr), abs=float(np.ptp(hr)) / 256)  # type: ignore[no-untyped-call]


def test_otsu_lies_in_the_middle_between_clear_phases() -> None:
    assert otsu(np.array([[3, 3, 4, 200, 201]], dtype=np.uint8)) == 102
    assert otsu([np.array([0.1, 0.2]), np.array([[0.7]])]) == pytest.approx(0.45)


def best_cut(hr: np.ndarray) -> float:
    """Otsu's threshold by the sorted voxels: the variances on both sides of each voxel but the last of its level."""
    grey = np.sort(hr, axis=None).astype(np.float64)
    below = np.arange(1, grey.size)
    dark = np.cumsum(grey)[:-1] / below
    bright = (grey.sum() - dark * below) / (grey.size - below)
    between = np.where(grey[1:] > grey[:-1], below * (grey.size - below) * (bright - dark) ** 2, -1)
    at = int(np.argmax(between))
    return float((grey[at] + grey[at + 1]) / 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.02, 0.1, 0.2])
def test_otsu_of_more_levels_than_16_bits_have_is_the_exact_one_to_a_bin(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    hr = (0.25 + 0.5 * (rng.random((500, 500)) > 0.3) + spread * rng.standard_normal((500, 500))).astype(np.float32)
    assert np.unique(hr).size > 2**16
    assert otsu(hr) == pytest.approx(best_cut(hr), abs=float(np.ptp(hr)) / 65535)
    assert otsu([1e4 * hr[:100], 1e4 * hr[100:]]) == pytest.approx(1e4 * otsu(hr), abs=float(np.ptp(hr)) / 6.5535)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float of 16 bits", "apart", "close"])
def test_otsu_is_exact_where_levels_are_no_more_than_16_bits_have(kind: str) -> None:
    levels = np.arange(2**16)
    hr = np.concatenate([levels, levels[:20000], levels[30000:60000:2] ** 2 // 65536])
    made: dict[str, np.ndarray] = {
        "uint8": (hr >> 8).astype(np.uint8),
        "uint16": hr.astype(np.uint16),
        "float of 16 bits": hr.astype(np.float32) / np.float32(65535),
        "apart": hr // 300 * 0.37,
        "close": hr // 4 + 1e-7 * (hr % 4),  # four levels in one bin
    }
    assert otsu(made[kind]) == pytest.approx(best_cut(made[kind]), rel=1e-12)


def test_the_threshold_of_floats_takes_little_memory() -> None:
    hr = np.random.default_rng(0).random(2**21, dtype=np.float32)
    tracemalloc.start()
    otsu(hr)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * hr.size


def test_multi_otsu_parts_three_phases_between_their_levels() -> None:
    first, second = multi_otsu(rock()[1], classes=3)
    assert 0.3 < first < 0.4
    assert 0.6 < second < 0.7


def test_phases_are_counted_from_the_pore_on_and_found_again() -> None:
    labels, hr = rock()
    found = phases(hr, multi_otsu(hr, classes=3))
    assert found.dtype == np.uint8
    assert min(dice(found, labels).values()) > 0.99
    assert ((found == 0) == segment(hr, multi_otsu(hr, classes=3)[0])).all()
    assert phases(np.array([1, 2, 3, 9], dtype=np.uint8), [1.0, 2.5]).tolist() == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="rising numbers"):
        phases(hr, [0.5, 0.4])
    with pytest.raises(ValueError, match="rising numbers"):
        phases(hr, [])


def test_several_slices_share_one_threshold_whatever_their_sizes() -> None:
    _, hr = rock()
    parts = [hr[:50], hr[50:, :30], hr[50:, 30:]]
    assert otsu(parts) == otsu(hr)
    assert multi_otsu(parts, classes=3) == multi_otsu(hr, classes=3)


def test_threshold_from_labels_has_the_best_dice_of_all_that_there_are() -> None:
    labels, hr = rock()
    noisy = hr + 0.1 * np.random.default_rng(1).standard_normal(hr.shape).astype(np.float32)
    chosen = threshold_from_labels(noisy, labels, 0)

    def score(threshold: float) -> float:
        dark = noisy <= threshold
        return float(2 * (dark & (labels == 0)).sum() / (dark.sum() + (labels == 0).sum()))

    assert score(chosen) >= max(score(t) for t in np.unique(noisy)[::20])
    assert score(chosen) > score(otsu(noisy))


def test_threshold_from_labels_lies_in_the_middle_of_a_gap() -> None:
    hr = np.array([[10, 10, 20, 40]], dtype=np.uint8)
    assert threshold_from_labels(hr, np.array([[5, 5, 5, 9]]), 5) == 30


def test_pore_is_at_or_below_the_threshold_in_the_precision_of_the_image() -> None:
    image = np.full((2, 2), 0.1, dtype=np.float32)
    assert segment(image, 0.1).all()
    assert segment(image, float(np.float32(0.1))).all()
    assert segment(np.float64(0.1) * np.ones(3), 0.1).all()
    assert not segment(image, 0.0999).any()
    assert segment(np.array([99, 100, 101], dtype=np.uint8), 100).tolist() == [True, True, False]


def test_thresholds_around_one_span_a_part_of_the_contrast() -> None:
    _, hr = rock()
    dark = hr[hr <= 0.35]
    reach = 0.2 * (hr[hr > 0.35].mean() - dark.mean())
    found = around(hr, 0.35)
    assert found.shape == (64,)
    assert (found[0], found[-1]) == (pytest.approx(0.35 - reach, abs=1e-6), pytest.approx(0.35 + reach, abs=1e-6))
    faint = around(0.1 * hr, 0.035)
    assert faint == pytest.approx(0.1 * found, abs=1e-6)  # the same share of a weaker contrast


def test_images_without_two_levels_and_labels_that_do_not_fit_are_refused() -> None:
    labels, hr = rock()
    with pytest.raises(ValueError, match="two grey levels or more"):
        otsu(np.ones((5, 5)))
    with pytest.raises(ValueError, match="two grey levels or more"):
        otsu(np.ones((0, 5)))
    with pytest.raises(ValueError, match="one array or more"):
        otsu([])
    with pytest.raises(ValueError, match="must be finite, got 1"):
        segment(np.array([1.0, np.nan]), 0.5)
    with pytest.raises(ValueError, match="labels must have the shape of hr"):
        threshold_from_labels(hr, labels.T[:-1], 0)
    with pytest.raises(ValueError, match="labels must hold 7"):
        threshold_from_labels(hr, labels, 7)
    with pytest.raises(ValueError, match="threshold must lie between"):
        around(hr, 2.0)
    with pytest.raises(ValueError, match="classes must be 2 to 5"):
        multi_otsu(hr, classes=6)
    with pytest.raises(ValueError, match="span must be positive and count at least 2"):
        around(hr, 0.35, span=0)
