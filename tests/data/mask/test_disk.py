"""The disk of a round field of view is found wherever it lies, and is not found where there is none."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from coresr_data.mask.disk import Disk, Mask, fit_disk, hull


def disk(size: tuple[int, int], y: float, x: float, radius: float) -> Mask:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.asarray(np.hypot(rows - y, columns - x) <= radius)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(80, 160),
    width=st.integers(80, 160),
    y=st.floats(0.3, 0.7),
    x=st.floats(0.3, 0.7),
    radius=st.floats(0.25, 0.55),
)
def test_a_disk_is_found_to_a_pixel_wherever_it_lies(
    height: int, width: int, y: float, x: float, radius: float
) -> None:
    truth = (y * (height - 1), x * (width - 1), radius * min(height, width))
    field = disk((height, width), *truth)
    assume((~field).mean() > 0.1)
    found = fit_disk(field)
    assert found is not None
    assert abs(found.y - truth[0]) < 1
    assert abs(found.x - truth[1]) < 1
    assert abs(found.radius - truth[2]) < 1
    assert found.misfit < 0.01


def test_a_whole_disk_is_found_to_a_fifth_of_a_pixel() -> None:
    found = fit_disk(disk((200, 210), 98.3, 104.6, 91.7))
    assert found is not None
    assert (found.y, found.x, found.radius) == pytest.approx((98.3, 104.6, 91.7), abs=0.2)
    assert found.misfit < 0.001


def test_pores_that_open_to_the_outside_do_not_move_the_disk() -> None:
    field = disk((200, 200), 100, 98, 90)
    notches = [(12, 90, 9), (100, 12, 6), (160, 160, 12), (40, 165, 5)]
    for notch in notches:
        field &= ~disk((200, 200), *notch)
    found = fit_disk(field)
    assert found is not None
    assert (found.y, found.x, found.radius) == pytest.approx((100, 98, 90), abs=0.5)
    lost = (disk((200, 200), 100, 98, 90) & ~field).sum()
    assert found.misfit == pytest.approx(lost / (np.pi * 90**2), rel=0.05)


@pytest.mark.parametrize("sides", [3, 4, 6, 8])
def test_a_polygon_is_no_disk(sides: int) -> None:
    y, x = np.mgrid[:160, :160] - 79.5
    angles = 2 * np.pi * (np.arange(sides) + 0.3) / sides
    field = np.all([y * np.sin(a) + x * np.cos(a) < 50 for a in angles], axis=0)
    assert fit_disk(field) is None


@pytest.mark.parametrize(
    "field",
    [
        np.ones((40, 40), np.bool_),
        np.zeros((40, 40), np.bool_),
        np.eye(40, dtype=np.bool_),
        disk((100, 100), 50, 30, 20) | disk((100, 100), 50, 75, 20),
        disk((100, 100), 50, 50, 45) & ~disk((100, 100), 50, 50, 43),
        np.indices((80, 80))[0] > 12,
        ~disk((100, 100), 0, 0, 30),
    ],
    ids=["full frame", "nothing", "line", "two disks", "thin ring", "strip", "bite out of a corner"],
)
def test_what_is_no_disk_is_not_taken_for_one(field: Mask) -> None:
    found = fit_disk(field)
    assert found is None or found.misfit > 0.8  # a ring reaches its circle; most of the disk is not in it


def test_pixels_are_those_whose_centres_lie_within_the_radius_less_the_rim() -> None:
    one = Disk(y=5.2, x=4.0, radius=3.7, misfit=0)
    np.testing.assert_array_equal(one.pixels((12, 10)), disk((12, 10), 5.2, 4.0, 3.7))
    np.testing.assert_array_equal(one.pixels((12, 10), rim=1.5), disk((12, 10), 5.2, 4.0, 2.2))
    assert one.pixels((12, 10), rim=4).sum() == 0


def test_the_hull_holds_the_field_and_its_corners_are_of_it() -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((50, 60)), 4) > 0.05
    corners = hull(field)
    assert all(field[y, x] for y, x in corners)
    rows, columns = np.nonzero(field)
    turns = []
    for (y0, x0), (y1, x1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        turns.append(np.sign((y1 - y0) * (columns - x0) - (x1 - x0) * (rows - y0)))
    assert np.all(np.array(turns) >= 0) or np.all(np.array(turns) <= 0)
    assert hull(np.eye(9, dtype=np.bool_)).shape == (0, 2)
    assert hull(np.zeros((9, 9), np.bool_)).shape == (0, 2)
