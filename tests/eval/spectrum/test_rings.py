"""Rings and windows: laws of the transform, and what a window makes of independence."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from coresr_eval.spectrum.rings import Rings, half_spectrum, independent, rings_of

SHAPES = [(16, 16), (17, 17), (16, 21), (40, 12), (9, 12, 10), (8, 8, 11)]
each_shape = pytest.mark.parametrize("shape", SHAPES)


def radius(shape: tuple[int, ...]) -> Any:
    """Spatial frequency of every value of a whole spectrum."""
    axes = np.meshgrid(*(np.fft.fftfreq(size) for size in shape), indexing="ij")
    return np.sqrt(np.sum([axis**2 for axis in axes], axis=0, dtype=np.float64))


@each_shape
def test_half_a_spectrum_adds_up_as_the_whole_does(shape: tuple[int, ...]) -> None:
    image = torch.rand(2, 1, *shape, dtype=torch.float64)
    half = half_spectrum(image)[:, 0]
    rings = Rings(shape, image.device)
    nearest = np.round(radius(shape) * min(shape)).astype(int)
    for one, summed in zip(image[:, 0].numpy(), rings.sums(half.abs().square()), strict=True):
        windowed = one - one.mean()
        for axis, size in enumerate(shape):
            window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
            windowed = windowed * (window / np.sqrt(3 * size / 8)).reshape(-1, *[1] * (len(shape) - 1 - axis))
        power = np.abs(np.fft.fftn(windowed)) ** 2
        wanted = [power[nearest == ring].sum() for ring in range(1, rings.rings + 1)]
        assert summed.tolist() == pytest.approx(wanted, rel=1e-10)
    assert rings.counts.tolist() == [(nearest == ring).sum() for ring in range(1, rings.rings + 1)]


@each_shape
def test_rings_are_one_bin_of_the_shortest_side_wide_and_end_within_nyquist(shape: tuple[int, ...]) -> None:
    rings = Rings(shape, torch.device("cpu"))
    width = 1 / min(shape)
    assert rings.frequency.tolist() == pytest.approx([(k + 1) * width for k in range(rings.rings)])
    last = rings.frequency[-1].item() + width / 2
    assert last <= 0.5 + 1e-12 < last + width


def test_a_whole_spectrum_holds_the_energy_under_the_window() -> None:
    image = torch.rand(1, 1, 20, 31, dtype=torch.float64)
    window = torch.outer(*(torch.hann_window(n, periodic=False, dtype=torch.float64) for n in (20, 31)))
    shifted = torch.outer(
        *((math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n).sin().square() for n in (20, 31))
    )
    assert not torch.allclose(window, shifted)  # this one never touches zero, and is as wide as the image
    energy = (shifted * (image - image.mean())).square().sum() / shifted.square().sum()
    half = half_spectrum(image).abs().square()
    total = 2 * half.sum() - half[..., 0].sum()  # 31 is odd: only the first column stands alone
    assert total.item() / (20 * 31) == pytest.approx(energy.item(), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1e6 / 3])
def test_a_flat_image_has_no_spectrum_at_all(value: float) -> None:
    assert not half_spectrum(torch.full((2, 1, 50, 33), value, dtype=torch.float64)).abs().any()


def test_single_precision_is_transformed_in_double_and_left_alone() -> None:
    image = torch.rand(1, 1, 20, 20).requires_grad_()
    half = half_spectrum(image)
    assert half.dtype == torch.complex128
    assert not half.requires_grad
    torch.testing.assert_close(half, half_spectrum(image.double()), rtol=0, atol=1e-14)
    before = image.detach().double()
    again = before.clone()
    half_spectrum(again)
    assert torch.equal(again, before)


def test_the_rings_of_a_size_are_made_once_unless_they_are_large() -> None:
    cpu = torch.device("cpu")
    assert rings_of(torch.Size((24, 25)), cpu) is rings_of((24, 25), cpu)
    assert rings_of((24, 25), cpu) is not rings_of((25, 24), cpu)
    assert rings_of((8, 2**20), cpu) is not rings_of((8, 2**20), cpu)


@pytest.mark.parametrize("shape", [(64, 64), (48, 120), (16, 18, 20)])
def test_means_over_rings_scatter_as_means_of_as_many_independent_values(shape: tuple[int, ...]) -> None:
    noise = torch.randn(200, 1, *shape, dtype=torch.float64)
    rings = Rings(shape, noise.device)
    means = rings.sums(half_spectrum(noise)[:, 0].abs().square())[:, 3:] / rings.counts[3:]
    # of two mirror images one is independent, and one |value|² of mean 1 has variance 1
    scatter = means.var(dim=0) * rings.counts[3:] * independent(shape) / 2
    assert scatter.mean().item() == pytest.approx(1, abs=0.07)
    assert 1 / independent(shape) > 1.5  # or the test would not see the window


def test_a_window_costs_less_within_a_ring_than_all_over() -> None:
    everywhere = (18 / 35) ** 2  # (Σw²)² / (N Σw⁴) along either axis
    assert everywhere < independent((500, 500)) < math.sqrt(everywhere) + 0.03
    assert independent((500, 500)) == pytest.approx(independent((64, 64)), rel=1e-12)
    assert independent((48, 120)) == pytest.approx(independent((120, 48)), rel=1e-12)
