"""Tiles equal the whole, sizes are padded by a stated law, and what cannot be right is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from coresr_eval.inference import tiled


class Convolutions(nn.Module):
    """Sees three LR pixels to each side: zero-padded, so that a wrong seam shows."""

    scale, multiple_of, receptive_field = 3, 1, 3

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 18, 3, padding=1),
            nn.PixelShuffle(3),
        )

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.layers(lr)
        return sr


class Pooling(nn.Module):
    """Sees seven LR pixels to each side through blocks of four, whose grid the tiles must keep."""

    scale, multiple_of, receptive_field = 2, 4, 7

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        if lr.shape[-2] % 4 or lr.shape[-1] % 4:
            raise ValueError("off the grid")
        coarse = self.conv(functional.max_pool2d(lr, 4))
        return functional.interpolate(coarse, scale_factor=8) + functional.interpolate(lr, scale_factor=2)


Network = Convolutions | Pooling


def in_tiles(network: Network, lr: Tensor, tile: int, receptive_field: int | None = -1) -> Tensor:
    reach = network.receptive_field if receptive_field == -1 else receptive_field
    return tiled(network, lr, scale=network.scale, multiple_of=network.multiple_of, receptive_field=reach, tile=tile)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from([Convolutions, Pooling]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.integers(1, 45),
)
@torch.no_grad()
def test_tiles_equal_the_whole_at_any_size(kind: type[Network], height: int, width: int, tile: int) -> None:
    torch.manual_seed(0)
    network, lr = kind(), torch.rand(2, 2, height, width)
    whole = in_tiles(network, lr, tile=4096)
    assert whole.shape == (2, 2, network.scale * height, network.scale * width)
    torch.testing.assert_close(in_tiles(network, lr, tile), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "narrow"), [(Convolutions, 2), (Pooling, 0)])
@torch.no_grad()
def test_too_narrow_a_halo_would_show(kind: type[Network], narrow: int) -> None:
    network, lr = kind(), torch.rand(1, 2, 24, 24)
    whole, wrong = in_tiles(network, lr, 4096), in_tiles(network, lr, 8, receptive_field=narrow)
    assert (wrong - whole).abs().max() > 1e-4


@pytest.mark.parametrize("kind", [Convolutions, Pooling])
@torch.no_grad()
def test_an_image_within_a_tile_is_the_networks_own_answer(kind: type[Network]) -> None:
    network, lr = kind(), torch.rand(1, 2, 12, 8)
    assert torch.equal(in_tiles(network, lr, 12), network(lr))


class Recorder:
    """Nearest neighbour that remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, lr: Tensor) -> Tensor:
        self.seen.append(lr)
        return functional.interpolate(lr, scale_factor=2)

    def sizes(self) -> list[tuple[int, ...]]:
        return [tuple(lr.shape[-2:]) for lr in self.seen]


def test_none_runs_the_whole_whatever_the_tile() -> None:
    upscale, lr = Recorder(), torch.rand(1, 1, 50, 30)
    sr = tiled(upscale, lr, scale=2, receptive_field=None, tile=8)
    assert upscale.sizes() == [(50, 30)]
    assert torch.equal(sr, functional.interpolate(lr, scale_factor=2))


def test_memory_is_bounded_by_the_tile_and_its_halo() -> None:
    upscale, lr = Recorder(), torch.rand(1, 1, 50, 30)
    tiled(upscale, lr, scale=2, multiple_of=4, receptive_field=3, tile=10)
    assert max(max(size) for size in upscale.sizes()) == 12 + 2 * 4
    assert all(side % 4 == 0 for size in upscale.sizes() for side in size)
    assert len(upscale.seen) == 5 * 3


@pytest.mark.parametrize(
    ("size", "padded", "mode"),
    [
        ((8, 12), (8, 12), None),
        ((7, 9), (8, 12), "reflect"),
        ((5, 8), (8, 8), "reflect"),
        ((2, 9), (4, 12), "replicate"),  # two rows are too few to reflect two
        ((1, 1), (4, 4), "replicate"),
        ((3, 6), (4, 8), "reflect"),
    ],
)
def test_sizes_are_padded_at_the_far_edges_and_cropped_again(
    size: tuple[int, int], padded: tuple[int, int], mode: str | None
) -> None:
    upscale, lr = Recorder(), torch.rand(1, 1, *size)
    sr = tiled(upscale, lr, scale=2, multiple_of=4, receptive_field=1)
    wanted = functional.pad(lr, (0, padded[1] - size[1], 0, padded[0] - size[0]), mode) if mode else lr
    assert torch.equal(upscale.seen[0], wanted)
    assert torch.equal(sr, functional.interpolate(lr, scale_factor=2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tile", [4, 99])
def test_tiles_keep_the_type_of_the_image(dtype: torch.dtype, tile: int) -> None:
    lr = torch.rand(1, 1, 9, 9).to(dtype)
    assert tiled(Recorder(), lr, scale=2, receptive_field=1, tile=tile).dtype == dtype


def test_the_image_given_is_left_as_it_was() -> None:
    lr = torch.rand(1, 1, 9, 9)
    before = lr.clone()
    tiled(Recorder(), lr, scale=2, multiple_of=2, receptive_field=1, tile=4)
    assert torch.equal(lr, before)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 1, 8, 8)])
def test_what_is_no_batch_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^lr must be \(b, c, h, w\), got \("):
        tiled(Recorder(), torch.rand(shape), scale=2, receptive_field=1)


@pytest.mark.parametrize("tile", [0, -5])
def test_a_tile_without_pixels_is_refused(tile: int) -> None:
    with pytest.raises(ValueError, match=f"^tile must be 1 LR pixel or more, got {tile}$"):
        tiled(Recorder(), torch.rand(1, 1, 8, 8), scale=2, receptive_field=1, tile=tile)


@pytest.mark.parametrize("tile", [4, 99])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_network_of_another_scale_is_refused_and_not_cropped(tile: int, scale: int) -> None:
    with pytest.raises(ValueError, match=rf"output must be .* at scale {scale}, got \("):
        tiled(Recorder(), torch.rand(1, 1, 8, 8), scale=scale, receptive_field=1, tile=tile)
