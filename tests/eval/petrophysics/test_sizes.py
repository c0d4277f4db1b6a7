import numpy as np
import pytest

from coresr_eval.petrophysics import critical_diameter, pore_sizes


def stripes(*widths: int) -> np.ndarray:
    """Channels of the given widths with walls of four pixels between."""
    return np.tile(np.concatenate([np.r_[np.zeros(4), np.ones(width)] for width in (*widths, 0)]) > 0, (50, 1))


def ball(side: int, radius: float, ndim: int) -> np.ndarray:
    grid = (np.arange(side) - side // 2) ** 2
    return np.asarray(sum(np.meshgrid(*[grid] * ndim, indexing="ij", sparse=True)) < radius**2)


@pytest.mark.parametrize(("width", "read"), [(1, 1), (3, 3), (5, 5), (11, 11), (4, 3), (10, 9)])
def test_a_channel_has_its_width_or_a_voxel_less(width: int, read: int) -> None:
    found = pore_sizes(stripes(width), voxel_um=2.0)
    assert found.d50 == 2.0 * read
    assert found.share.sum() == pytest.approx(1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_ball_is_as_wide_as_it_is(ndim: int) -> None:
    found = pore_sizes(ball(35, 12.2, ndim), voxel_um=1.0)
    assert found.d50 == pytest.approx(24, abs=1)
    assert found.share[-1] > 0.9


def test_shares_are_those_of_the_volumes() -> None:
    found = pore_sizes(stripes(3, 9, 15), voxel_um=1.0)
    widths = {round(d): share for d, share in zip(found.diameter_um, found.share, strict=True) if share > 0.01}
    assert widths == {3: pytest.approx(3 / 27), 9: pytest.approx(9 / 27), 15: pytest.approx(15 / 27)}
    assert (found.d10, found.d50, found.d90) == (3, 15, 15)
    assert found.quantile(0.3) == 9


def test_sizes_are_the_openings_by_all_discs_that_fit() -> None:
    """By definition: of all discs inside the pore, the widest that covers a pixel."""
    pore = np.random.default_rng(0).random((24, 24)) < 0.97
    y, x = np.mgrid[:24, :24]
    solid = np.argwhere(~pore)
    reach = np.sqrt(((np.stack([y, x], -1)[..., None, :] - solid) ** 2).sum(-1)).min(-1)
    found = pore_sizes(pore, voxel_um=1.0)
    radii = (found.diameter_um + 1) / 2
    widest = np.zeros(pore.shape)
    for centre in np.argwhere(pore):
        fits = radii[radii <= reach[tuple(centre)]].max()
        widest = np.where(np.hypot(y - centre[0], x - centre[1]) < fits, np.maximum(widest, fits), widest)
    truth = [np.mean(widest[pore] == radius) for radius in radii]
    assert found.share == pytest.approx(truth)


def test_larger_voxels_make_wider_pores_and_turns_none() -> None:
    pore = np.random.default_rng(1).random((40, 30)) < 0.9
    small, large = pore_sizes(pore, voxel_um=1.0), pore_sizes(pore.T[::-1], voxel_um=2.5)
    assert large.diameter_um == pytest.approx(2.5 * small.diameter_um)
    assert large.share == pytest.approx(small.share)


def test_what_has_no_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="got only pore"):
        pore_sizes(np.ones((5, 5), bool), voxel_um=1.0)
    with pytest.raises(ValueError, match="got only solid"):
        pore_sizes(np.zeros((5, 5), bool), voxel_um=1.0)
    with pytest.raises(ValueError, match="resample to cubic voxels"):
        pore_sizes(stripes(3), voxel_um=(1.0, 2.0))
    with pytest.raises(ValueError, match="got only pore"):
        critical_diameter(np.ones((5, 5), bool), voxel_um=1.0, axis=0)


def test_the_widest_sphere_that_crosses_is_that_of_the_best_throat() -> None:
    pore = stripes(5, 9)
    pore[20, :13] = False
    pore[20, 15:20] = True
    pore[20, 13:15] = True
    pore[25, 13:19] = False  # leaves three of nine, at the far side
    assert critical_diameter(pore, voxel_um=2.0, axis=0) == 2.0 * 3
    assert critical_diameter(pore, voxel_um=2.0, axis=1) == 0
    assert critical_diameter(pore.T, voxel_um=2.0, axis=1) == 2.0 * 3
