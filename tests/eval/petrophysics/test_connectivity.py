import numpy as np
import pytest

from coresr_eval.petrophysics import Connected, connected_porosity
from coresr_eval.petrophysics.connectivity import percolating


def maze() -> np.ndarray:
    """Ten by ten: a channel of ten down, a dead end of four from the left, an isolated pore of two."""
    pore = np.zeros((10, 10), bool)
    pore[:, 6] = True
    pore[2, :4] = True
    pore[8, 2:4] = True
    return pore


def test_channels_dead_ends_and_isolated_pores_are_told_apart() -> None:
    assert connected_porosity(maze()) == Connected(porosity=0.16, through=(0.10, 0.0), isolated=0.02)
    deep = np.repeat(maze()[None], 5, axis=0)
    assert connected_porosity(deep) == Connected(porosity=0.16, through=(0.16, 0.10, 0.0), isolated=0.0)


def test_corners_connect_nothing() -> None:
    assert connected_porosity(np.eye(6, dtype=bool)).through == (0, 0)
    stair = np.eye(6, dtype=bool) | np.eye(6, k=1, dtype=bool)
    assert connected_porosity(stair).through == (11 / 36, 11 / 36)


def test_two_clusters_that_each_reach_one_face_do_not_percolate() -> None:
    pore = np.zeros((6, 6), bool)
    pore[:3, 1] = pore[3:, 4] = True
    assert connected_porosity(pore) == Connected(porosity=1 / 6, through=(0, 0), isolated=0)


def test_turned_arrays_percolate_along_the_turned_axis() -> None:
    pore = np.random.default_rng(52).random((12, 14, 16)) < 0.315
    found = connected_porosity(pore)
    assert len(set(found.through)) == 3
    turned = connected_porosity(pore.transpose(2, 0, 1)[::-1])
    assert turned == Connected(
        porosity=found.porosity,
        through=(found.through[2], found.through[0], found.through[1]),
        isolated=found.isolated,
    )


def test_percolating_keeps_the_clusters_that_count() -> None:
    pore = np.random.default_rng(52).random((12, 14, 16)) < 0.315
    for axis, share in enumerate(connected_porosity(pore).through):
        kept = percolating(pore, axis)
        assert kept.mean() == pytest.approx(share)
        assert not (kept & ~pore).any()


def test_all_solid_and_all_pore_are_answered() -> None:
    assert connected_porosity(np.zeros((4, 4), bool)) == Connected(porosity=0, through=(0, 0), isolated=0)
    assert connected_porosity(np.ones((4, 4), bool)) == Connected(porosity=1, through=(1, 1), isolated=0)
