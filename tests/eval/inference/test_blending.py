"""The windows of all tiles sum to exactly 1 in float32, wherever their borders lie."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from coresr_eval.inference.blending import weights


@given(
    side=st.integers(1, 300), overlap=st.integers(1, 20), wider=st.integers(0, 60), scale=st.sampled_from([1, 2, 3, 4])
)
def test_the_windows_of_all_tiles_sum_to_one(side: int, overlap: int, wider: int, scale: int) -> None:
    tile = 2 * overlap + wider
    total = torch.zeros(scale * side)
    for start in range(0, side, tile):
        core = slice(start, min(start + tile, side))
        window = weights(core, side, overlap, scale).float()
        assert window.min() >= 0
        top = scale * max(0, start - overlap)
        total[top : top + len(window)] += window
    assert torch.equal(total, torch.ones(scale * side))


def test_a_window_rises_from_nothing_to_all_and_is_flat_between() -> None:
    window = weights(slice(40, 80), 200, 10, 2)
    assert len(window) == 2 * 60
    assert window[0] < 0.01
    assert (window[:40].diff() > 0).all()
    assert (window[40:80] == 1).all()
    assert torch.equal(window[80:], 1 - window[:40])


def test_products_of_windows_are_exact_in_float32() -> None:
    rows, columns = weights(slice(20, 50), 90, 10, 3), weights(slice(40, 90), 140, 13, 3)
    exact = rows[:, None] * columns
    assert torch.equal((rows.float()[:, None] * columns.float()).double(), exact)
