"""A contender of the throughput bench that does other work than the rest is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coresr_data.augment import turned
from coresr_data.volume import Levels

WHY = "bench is found where pytest runs as a module at the root: python -m pytest"
origin = pytest.importorskip("bench.peers.origin", reason=WHY)
contenders = pytest.importorskip("bench.peers.contenders", reason=WHY)
throughput = pytest.importorskip("bench.peers.throughput", reason=WHY)

RNG = np.random.default_rng(0)
HR = RNG.integers(0, 256, (3, 204, 222), np.uint8)
LR = RNG.integers(0, 256, (3, 102, 111), np.uint8)
Image = np.ndarray[Any, np.dtype[np.float32]]


def contender(**fields: float) -> Any:
    return contenders.Contender(name="somebody", make=contenders.ours, **fields)


def as_image(levels: Levels) -> Image:
    return levels[None].astype(np.float32) / np.float32(255)


def pair(symmetry: int = 0, y: int = 4, x: int = 12, image: int = 1) -> tuple[Image, Image]:
    """A pair as it should be."""
    low = LR[image, y // 2 : y // 2 + 96, x // 2 : x // 2 + 96]
    return as_image(turned(low, symmetry)), as_image(turned(HR[image, y : y + 192, x : x + 192], symmetry))


@pytest.mark.parametrize("symmetry", range(8))
@pytest.mark.parametrize(("y", "x", "image"), [(4, 10, 1), (0, 0, 0), (12, 30, 2)])
def test_where_a_pair_was_cut_is_found(symmetry: int, y: int, x: int, image: int) -> None:
    found = origin.check(contender(), pair(symmetry, y, x, image), HR, LR)
    assert found == (image, y, x, symmetry)


def test_three_equal_channels_are_a_grey_pair() -> None:
    low, high = pair()
    assert origin.check(contender(), (np.repeat(low, 3, 0), np.repeat(high, 3, 0)), HR, LR).image == 1


def test_a_luma_pair_is_found_by_its_gain_and_offset() -> None:
    low, high = ((16 + 219 * image) / np.float32(255) for image in pair())
    y = next(one for one in contenders.CONTENDERS if one.name == "BasicSR PNG, color: y")
    assert origin.check(contender(gain=y.gain, offset=y.offset), (low, high), HR, LR).y == 4


def test_declared_noise_on_lr_is_allowed_and_no_more() -> None:
    low, high = pair()
    noisy = low + np.float32(0.005) * RNG.standard_normal(low.shape, np.float32)
    assert origin.check(contender(noise_std=0.005), (noisy, high), HR, LR).image == 1
    with pytest.raises(RuntimeError, match="LR of the same place"):
        origin.check(contender(), (noisy, high), HR, LR)


def changed_corner(image: Image) -> Image:
    changed = image.copy()
    changed[..., -1, -1] = 1 - changed[..., -1, -1]
    return changed


BAD: dict[str, tuple[Callable[[Image, Image], tuple[Image, Image]], str]] = {
    "lr_turned": (lambda low, high: (low[:, ::-1], high), "LR of the same place"),
    "lr_of_another_place": (lambda low, high: (pair(x=14)[0], high), "LR of the same place"),
    "lr_of_another_slice": (lambda low, high: (pair(image=2)[0], high), "LR of the same place"),
    "one_pixel_of_lr": (lambda low, high: (changed_corner(low), high), "LR of the same place"),
    "one_pixel_of_hr": (lambda low, high: (low, changed_corner(high)), "pixels of none"),
    "half_a_level": (lambda low, high: (low, high + np.float32(0.4 / 255)), "whole grey levels"),
    "smaller": (lambda low, high: (low[:, 1:], high), "must load float32 pairs"),
    "hr_smaller": (lambda low, high: (low, high[:, :, 1:]), "must load float32 pairs"),
    "double": (lambda low, high: (low.astype(np.float64), high), "must load float32 pairs"),
    "colour": (lambda low, high: (low, np.concatenate([high, 1 - high])), "equal channels"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_pair_that_is_no_aligned_cut_is_refused(name: str) -> None:
    change, message = BAD[name]
    with pytest.raises(RuntimeError, match=message):
        origin.check(contender(), change(*pair()), HR, LR)


def test_hr_between_two_lr_pixels_is_refused() -> None:
    low, _ = pair(y=4)
    with pytest.raises(RuntimeError, match="LR of the same place"):
        origin.check(contender(), (low, as_image(HR[1, 5:197, 12:204])), HR, LR)


def test_pixels_that_continue_in_the_next_row_are_no_cut() -> None:
    torn = HR[1].reshape(-1)[50 : 50 + 192 * 222].reshape(192, 222)[:, :192]
    assert origin.find(np.ascontiguousarray(torn), HR) is None


def test_the_search_goes_on_where_the_first_row_alone_is_equal() -> None:
    images = HR.copy()
    images[0, 7, 20:212] = HR[1, 4, 12:204]
    assert origin.find(np.ascontiguousarray(HR[1, 4:196, 12:204]), images) == (1, 4, 12, 0)


def test_ratios_are_those_of_one_round() -> None:
    rounds = {one.name: [throughput.Round(wall_ms=1.0, cpu_ms=1.0)] * 3 for one in contenders.CONTENDERS}
    rounds["coresr-data"] = [throughput.Round(wall_ms=wall, cpu_ms=0.5) for wall in (1.0, 2.0, 4.0)]
    rounds["coresr-data with noise"] = [throughput.Round(wall_ms=8.0, cpu_ms=0.25)] * 3
    rounds["BasicSR PNG"] = [throughput.Round(wall_ms=wall, cpu_ms=2.0) for wall in (100.0, 20.0, 8.0)]
    row = next(row for row in throughput.summary(rounds) if row["name"] == "BasicSR PNG")
    assert (row["wall_ms"], row["times_ours"], row["times_ours_cpu"], row["times_ours_with_noise_cpu"]) == (
        20,
        10,
        4,
        8,
    )
