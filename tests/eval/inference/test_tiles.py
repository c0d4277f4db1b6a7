"""Tiles equal the whole, sizes are padded by a stated law, and what cannot be right is refused."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from coresr_eval.inference import Source, Tiles, tiled


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


def source(lr: Tensor, seen: list[tuple[slice, slice]]) -> Source:
    """An image that remembers which of its regions were read."""

    def read(y: slice, x: slice) -> Tensor:
        seen.append((y, x))
        return lr[..., y, x]

    return Source(read=read, size=(lr.shape[-2], lr.shape[-1]))


@pytest.mark.parametrize("kind", [Convolutions, Pooling])
@pytest.mark.parametrize("size", [(50, 41), (3, 90), (37, 1)])
@torch.no_grad()
def test_a_region_is_that_of_the_whole_and_reads_no_more_than_its_halo(
    kind: type[Network], size: tuple[int, int]
) -> None:
    network, lr = kind(), torch.rand(1, 2, *size)
    whole, scale, grid = in_tiles(network, lr, 4096), network.scale, network.multiple_of
    seen: list[tuple[slice, slice]] = []
    halo = -(-network.receptive_field // grid) * grid
    tiles = Tiles(network, scale=scale, multiple_of=grid, receptive_field=network.receptive_field, tile=8)
    for top in range(0, size[0], 16):
        for left in range(0, size[1], 16):
            y, x = slice(top, min(top + 16, size[0])), slice(left, min(left + 16, size[1]))
            sr = tiles.region(source(lr, seen), y, x)
            wanted = whole[..., scale * y.start : scale * y.stop, scale * x.start : scale * x.stop]
            torch.testing.assert_close(sr, wanted, rtol=0, atol=1e-6)
    for pair in seen:
        for part, side in zip(pair, size, strict=True):
            assert 0 <= part.start < part.stop <= side
            assert part.stop - part.start <= 8 + 2 * halo


class Hungry:
    """A network that runs out of memory above so many LR pixels."""

    def __init__(self, network: Network, most: int, error: Exception) -> None:
        self.network, self.most, self.error = network, most, error
        self.sizes: list[int] = []

    def __call__(self, lr: Tensor) -> Tensor:
        self.sizes.append(lr.shape[-2] * lr.shape[-1])
        if self.sizes[-1] > self.most:
            raise self.error
        sr: Tensor = self.network(lr)
        return sr


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("kind", [Convolutions, Pooling])
@torch.no_grad()
def test_where_memory_is_short_smaller_tiles_give_the_same_image_and_it_is_said_once(
    kind: type[Network], caplog: pytest.LogCaptureFixture
) -> None:
    network, lr = kind(), torch.rand(1, 2, 150, 210)
    hungry = Hungry(network, 100**2, CUDA)
    how: dict[str, Any] = {
        "scale": network.scale,
        "multiple_of": network.multiple_of,
        "receptive_field": network.receptive_field,
    }
    sr = tiled(hungry, lr, **how, tile=128)
    torch.testing.assert_close(sr, in_tiles(network, lr, 4096), rtol=0, atol=1e-6)
    assert [record.getMessage() for record in caplog.records] == [
        "memory is short for tiles of 128 LR pixels: going on with 64"
    ]
    assert sum(size > 100**2 for size in hungry.sizes) == 1  # what is too large is not tried again


@torch.no_grad()
def test_a_tile_that_does_not_fit_later_leaves_what_was_done() -> None:
    network, lr = Convolutions(), torch.rand(1, 2, 128, 128)
    hungry = Hungry(network, 70**2, CUDA)
    hungry.most = 10**9
    tiles = Tiles(hungry, scale=3, receptive_field=3, tile=64)
    seen: list[tuple[slice, slice]] = []
    first = tiles.region(source(lr, seen), slice(0, 64), slice(0, 128))
    hungry.most = 50**2
    second = tiles.region(source(lr, seen), slice(64, 128), slice(0, 128))
    torch.testing.assert_close(torch.cat([first, second], -2), in_tiles(network, lr, 4096), rtol=0, atol=1e-6)
    assert tiles.side == 32


def test_without_memory_for_the_smallest_tile_the_error_says_so() -> None:
    hungry = Hungry(Convolutions(), 10, CUDA)
    with pytest.raises(MemoryError, match=r"^memory must hold a tile of \d+ LR pixels and its halo .*20\.00 GiB"):
        tiled(hungry, torch.rand(1, 2, 300, 300), scale=3, receptive_field=3, tile=256)
    assert len(hungry.sizes) == 4  # of 256, 128, 64 and 32


def test_a_network_that_needs_the_whole_image_is_not_cut() -> None:
    hungry = Hungry(Convolutions(), 10, CUDA)
    with pytest.raises(MemoryError, match="must hold the image whole, for its statistics.*blend tiles by an overlap"):
        tiled(hungry, torch.rand(1, 2, 300, 300), scale=3, receptive_field=None, tile=64)
    assert hungry.sizes == [300**2]


def test_another_error_of_the_network_is_its_own() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    hungry = Hungry(Convolutions(), 10, error)
    with pytest.raises(RuntimeError, match="cannot be multiplied") as raised:
        tiled(hungry, torch.rand(1, 2, 64, 64), scale=3, receptive_field=3, tile=64)
    assert raised.value is error
    assert len(hungry.sizes) == 1


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    overlap=st.integers(1, 8),
    tile=st.integers(16, 40),
    grid=st.sampled_from([1, 3]),
)
def test_blended_tiles_leave_what_no_tile_changes_as_it_was(
    height: int, width: int, overlap: int, tile: int, grid: int
) -> None:
    ones = torch.ones(1, 1, height, width)
    sr = tiled(Recorder(), ones, scale=2, multiple_of=grid, receptive_field=None, tile=tile + 2 * grid, overlap=overlap)
    assert torch.equal(sr, torch.ones(1, 1, 2 * height, 2 * width))  # the windows sum to 1, exactly
    lr = torch.rand(1, 1, height, width)
    sr = tiled(Recorder(), lr, scale=2, multiple_of=grid, receptive_field=None, tile=tile + 2 * grid, overlap=overlap)
    torch.testing.assert_close(sr, functional.interpolate(lr, scale_factor=2), rtol=0, atol=1e-6)


def centred(lr: Tensor) -> Tensor:
    """A network whose statistics span what it sees."""
    return functional.interpolate(lr - lr.mean(), scale_factor=2)


def test_blended_tiles_have_no_seams() -> None:
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    ramp = ((y + x) / 190)[None, None]
    whole = centred(ramp)
    cut, faded = (
        tiled(centred, ramp, scale=2, receptive_field=reach, tile=32, overlap=overlap)
        for reach, overlap in ((0, None), (None, 16))
    )

    def step(sr: Tensor) -> float:
        return float(sr.diff(dim=-1).abs().max())

    assert step(cut) > 10 * step(whole)
    assert step(faded) < 3 * step(whole)
    assert (faded - whole).abs().max() > 0.1  # and is not the image that the whole gives


def test_an_image_within_a_tile_is_not_blended() -> None:
    lr = torch.rand(1, 1, 20, 30)
    assert torch.equal(tiled(centred, lr, scale=2, receptive_field=None, tile=32, overlap=4), centred(lr))


@torch.no_grad()
def test_an_overlap_as_wide_as_two_reaches_is_close_to_the_whole() -> None:
    network, lr = Convolutions(), torch.rand(1, 2, 60, 50)
    how: dict[str, Any] = {"scale": 3, "receptive_field": 3, "tile": 24}
    off = tiled(network, lr, **how, overlap=12) - in_tiles(network, lr, 4096)
    assert 0 < off.abs().max() < 0.05
    narrow = tiled(network, lr, **how, overlap=2) - in_tiles(network, lr, 4096)
    assert off.abs().mean() < narrow.abs().mean()


def test_blended_tiles_are_halved_too_where_memory_is_short(caplog: pytest.LogCaptureFixture) -> None:
    limited = Hungry(Convolutions(), 90**2, CUDA)
    with torch.no_grad():
        sr = tiled(limited, torch.ones(1, 2, 130, 130), scale=3, receptive_field=None, tile=128, overlap=8)
    assert sr.shape == (1, 2, 390, 390)
    assert "going on with 64" in caplog.text


@pytest.mark.parametrize(("overlap", "tried"), [(40, 1), (32, 2), (24, 2), (8, 3)])
def test_where_no_tile_twice_as_wide_as_the_overlap_fits_memory_is_what_is_short(overlap: int, tried: int) -> None:
    hungry = Hungry(Convolutions(), 10, CUDA)
    match = rf"^memory must hold a tile of \d+ LR .*20\.00 GiB.*; free some, or take an overlap below {overlap}$"
    with pytest.raises(MemoryError, match=match):
        tiled(hungry, torch.rand(1, 2, 300, 300), scale=3, receptive_field=None, tile=128, overlap=overlap)
    assert len(hungry.sizes) == tried


@pytest.mark.parametrize("reach", [None, 0, 3])
@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("tile", [4, 512])
def test_an_image_without_pixels_is_refused(reach: int | None, size: tuple[int, int], tile: int) -> None:
    for overlap, what in ((None, "region must hold LR pixels"), (2, "image must hold pixels")):
        with pytest.raises(ValueError, match=f"^{what}, got "):
            tiled(Recorder(), torch.rand(1, 1, *size), scale=2, receptive_field=reach, tile=tile, overlap=overlap)


@pytest.mark.parametrize("overlap", [0, -3, 9])
def test_an_overlap_that_leaves_no_tile_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap must be from 1 to half a tile of 16 LR pixels, got {overlap}"):
        tiled(centred, torch.rand(1, 1, 40, 40), scale=2, receptive_field=None, tile=16, overlap=overlap)
