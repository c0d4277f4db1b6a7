"""The laws of the self-ensemble: it turns with the image, and leaves alone what already does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from coresr_eval.inference import self_ensemble, tiled


def turns(image: Tensor) -> list[Tensor]:
    """The eight orientations, written out."""
    t = image.transpose(-2, -1)
    return [
        image,
        image.flip(-1),
        image.flip(-2),
        image.flip(-2, -1),
        t,
        t.flip(-1),
        t.flip(-2),
        t.flip(-2, -1),
    ]


def leaning(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A network that looks the same in no two orientations."""
    torch.manual_seed(3)
    layers = nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 4, 5, padding=2), nn.PixelShuffle(2)
    return nn.Sequential(*layers).to(dtype)


@pytest.mark.parametrize("size", [(9, 9), (7, 12), (1, 5)])
@torch.no_grad()
def test_the_ensemble_turns_and_flips_with_the_image(size: tuple[int, int]) -> None:
    network, lr = leaning(), torch.rand(2, 1, *size, dtype=torch.float64)
    ensemble = self_ensemble(network)
    for turned, wanted in zip(turns(lr), turns(ensemble(lr)), strict=True):
        torch.testing.assert_close(ensemble(turned), wanted, rtol=0, atol=1e-12)
    assert (network(lr.flip(-1)) - network(lr).flip(-1)).abs().max() > 1e-3


@torch.no_grad()
def test_the_ensemble_is_the_mean_over_the_eight_orientations() -> None:
    network, lr = leaning(), torch.rand(1, 1, 6, 10, dtype=torch.float64)
    back = [0, 1, 2, 3, 4, 6, 5, 7]  # of a transposed image flipped one way, the other way
    answers = [turns(network(turned))[undo] for turned, undo in zip(turns(lr), back, strict=True)]
    torch.testing.assert_close(self_ensemble(network)(lr), torch.stack(answers).mean(0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 8), (5, 11)])
def test_a_network_without_direction_comes_back_bit_for_bit(dtype: torch.dtype, size: tuple[int, int]) -> None:
    def network(lr: Tensor) -> Tensor:
        return functional.interpolate(lr, scale_factor=3).square() / 3

    lr = torch.rand(1, 2, *size).to(dtype)
    sr = self_ensemble(network)(lr)
    assert sr.dtype == dtype
    assert torch.equal(sr, network(lr))


def test_eight_different_images_are_seen_of_both_shapes() -> None:
    seen: list[Tensor] = []

    def network(lr: Tensor) -> Tensor:
        seen.append(lr.clone())
        return lr

    lr = torch.rand(1, 1, 4, 6)
    self_ensemble(network)(lr)
    assert [tuple(one.shape[-2:]) for one in seen] == [(4, 6), (4, 6), (6, 4), (6, 4)] * 2
    assert len({one.numpy().tobytes() + bytes(one.shape) for one in seen}) == 8
    expected = {one.contiguous().numpy().tobytes() for one in turns(lr)}
    assert {one.numpy().tobytes() for one in seen} == expected


def test_half_precision_is_summed_in_single() -> None:
    answers = iter([1.0, *[2.0**-9] * 7])  # bfloat16 would swallow the seven: 1 + 2⁻⁹ is 1 in it

    def network(lr: Tensor) -> Tensor:
        return torch.full_like(lr, next(answers))

    sr = self_ensemble(network)(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16))
    assert float(sr[0, 0, 0, 0]) == float(torch.tensor((1 + 7 * 2.0**-9) / 8).bfloat16())
    assert float(sr[0, 0, 0, 0]) != 1 / 8


class Coarse(nn.Module):
    """Works on blocks of four LR pixels."""

    scale, multiple_of, receptive_field = 2, 4, 7

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        return functional.interpolate(self.conv(functional.avg_pool2d(lr, 4)), scale_factor=8)


@pytest.mark.parametrize("size", [(24, 40), (21, 38)])
@torch.no_grad()
def test_tiles_of_the_ensemble_equal_the_ensemble_of_the_whole(size: tuple[int, int]) -> None:
    network, lr = Coarse().double(), torch.rand(1, 1, *size, dtype=torch.float64)
    how: dict[str, Any] = {"scale": 2, "multiple_of": 4, "receptive_field": 7}
    whole, tiles = (tiled(self_ensemble(network), lr, **how, tile=tile) for tile in (4096, 8))
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-12)
    if size == (24, 40):  # nothing is padded, so that it turns with the image
        torch.testing.assert_close(whole, self_ensemble(network)(lr), rtol=0, atol=1e-12)
