"""Back-projected answers give their LR back, as a whole and in tiles, whatever the network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from coresr_eval.consistency import Operator
from coresr_eval.inference import Operators, Source, Tiles, back_projected, tiled

REACH = 16


def binned(scale: int) -> Operators:
    def repeated(image: Tensor) -> Tensor:
        return image.repeat_interleave(scale, -1).repeat_interleave(scale, -2)

    return Operators(at=lambda height, width: (lambda image: avg_pool2d(image, scale), repeated), reach=0)


def bicubic(scale: int, reach: int = REACH) -> Operators:
    resize = pytest.importorskip("coresr_data.resize")

    def at(height: int, width: int) -> tuple[Operator, Operator]:
        operator = resize.resizing(height, width, 1 / scale)
        return operator.forward, operator.pinv

    return Operators(at=at, reach=reach)


class Noisy(nn.Module):
    """Sees two LR pixels to each side, needs multiples of three, and contradicts its LR."""

    scale, multiple_of, receptive_field = 2, 3, 2

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, padding=2)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, lr: Tensor) -> Tensor:
        if lr.shape[-2] % 3 or lr.shape[-1] % 3:
            raise ValueError("off the grid")
        sr: Tensor = interpolate(lr, scale_factor=2) + self.shuffle(self.conv(lr))
        return sr


def contradiction(sr: Tensor, lr: Tensor, operators: Operators) -> float:
    forward, _ = operators.at(sr.shape[-2], sr.shape[-1])
    return (forward(sr.double()) - lr).abs().max().item()


@pytest.mark.parametrize("operators", [binned, bicubic])
@torch.no_grad()
def test_a_wrapped_callable_gives_its_lr_back_in_its_own_dtype(operators: Callable[[int], Operators]) -> None:
    lr, known = torch.rand(2, 1, 24, 30), operators(2)
    network = Noisy()
    sr = back_projected(network, known)(lr)
    assert sr.dtype == torch.float32
    assert contradiction(network(lr), lr, known) > 0.05
    assert contradiction(sr, lr, known) < 3e-7


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_becomes_the_smallest_image_of_its_lr(scale: int) -> None:
    from coresr_data.resize import resizing

    lr, known = torch.rand(1, 1, 20, 15, dtype=torch.float64), bicubic(scale)
    _, pinv = known.at(20 * scale, 15 * scale)
    sr = back_projected(resizing(20, 15, scale).forward, known)(lr)
    torch.testing.assert_close(sr, pinv(lr), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 60), width=st.integers(1, 60), tile=st.integers(1, 30), blocks=st.booleans())
@torch.no_grad()
def test_in_tiles_it_is_the_image_of_the_whole_at_any_size(height: int, width: int, tile: int, blocks: bool) -> None:
    torch.manual_seed(0)
    network, lr, known = Noisy(), torch.rand(1, 1, height, width), binned(2) if blocks else bicubic(2)
    how: dict[str, Any] = {"scale": 2, "multiple_of": 3}
    sr = tiled(network, lr, **how, receptive_field=2, tile=tile, operators=known)
    whole = back_projected(lambda lr: tiled(network, lr, **how, receptive_field=None), known)(lr)
    torch.testing.assert_close(sr, whole, rtol=0, atol=1e-6)
    assert contradiction(sr, lr, known) < 1e-6


@pytest.mark.parametrize("overlap", [None, 4])
def test_a_network_that_spans_the_image_is_projected_after_it_was_run_or_blended(overlap: int | None) -> None:
    lr, known, sizes = torch.rand(1, 1, 50, 44), bicubic(2), []

    def centred(lr: Tensor) -> Tensor:
        return interpolate(lr - lr.mean(), scale_factor=2)

    def at(height: int, width: int) -> tuple[Operator, Operator]:
        sizes.append((height, width))
        return known.at(height, width)

    how: dict[str, Any] = {"scale": 2, "receptive_field": None, "tile": 8, "overlap": overlap}
    sr = tiled(centred, lr, **how, operators=Operators(at=at, reach=REACH))
    assert contradiction(sr, lr, known) < 1e-6
    assert max(map(max, sizes)) <= 2 * (8 + 2 * REACH)
    torch.testing.assert_close(sr, back_projected(lambda lr: tiled(centred, lr, **how), known)(lr), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_tiles_cut_off_at_the_reach_differ_from_the_whole_by_the_rounding_of_float32_at_most(scale: int) -> None:
    axis = pytest.importorskip("coresr_data.resize").axis_matrix

    def correction(side: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a row of SR, as a matrix over its LR and itself."""
        operator = axis(side * scale, side, 1 / scale).toarray()
        inverse = np.linalg.pinv(operator)
        return inverse, -inverse @ operator

    def worst(reach: int) -> float:
        """Of any images in [-1, 1]: the largest sum of a row of the difference."""
        first, stop, side = 50, 60, 110
        whole = np.hstack(correction(side))[scale * first : scale * stop]
        seen = slice(first - reach, stop + reach)
        inverse, own = (
            one[scale * reach : scale * (reach + stop - first)] for one in correction(seen.stop - seen.start)
        )
        whole[:, seen] -= inverse
        whole[:, side + scale * seen.start : side + scale * seen.stop] -= own
        return float(np.abs(whole).sum(axis=1).max())

    assert worst(REACH) < 4e-8
    assert worst(REACH - 2) > 1e-7
    assert worst(4) / worst(8) == pytest.approx(3**4, rel=0.2)


def test_too_short_a_reach_would_show() -> None:
    lr, network = torch.rand(1, 1, 40, 40), Noisy()
    how: dict[str, Any] = {"scale": 2, "multiple_of": 3, "receptive_field": 2}
    with torch.no_grad():
        narrow = tiled(network, lr, **how, tile=12, operators=bicubic(2, reach=4))
        whole = tiled(network, lr, **how, tile=48, operators=bicubic(2))
    assert (narrow - whole).abs().max() > 1e-4


def test_lr_is_read_once_for_the_network_and_the_projection() -> None:
    lr, read = torch.rand(1, 1, 60, 60), []

    def region(y: slice, x: slice) -> Tensor:
        read.append((y, x))
        return lr[..., y, x]

    tiles = Tiles(Noisy(), scale=2, multiple_of=3, receptive_field=2, tile=12, operators=bicubic(2))
    with torch.no_grad():
        tiles.region(Source(read=region, size=(60, 60)), slice(24, 36), slice(0, 12))
    assert read == [(slice(24 - 18, 36 + 18), slice(0, 12 + 18))]


def test_an_operator_of_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the operator must answer \(1, 1, 12, 12\), got \(1, 1, 8, 8\)"):
        back_projected(lambda lr: interpolate(lr, scale_factor=2), binned(3))(torch.rand(1, 1, 12, 12))
