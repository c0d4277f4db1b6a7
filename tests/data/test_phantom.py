"""Synthetic cores: reproducible, correlated in depth, in a sane grey range, written whole or not at all."""

from dataclasses import FrozenInstanceError, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom

from coresr_data import phantom as module
from coresr_data.phantom import ROCKS, Rock, phantom, write_phantom

each_rock = pytest.mark.parametrize("rock", ROCKS, ids=lambda rock: rock.name)


@cache
def core(rock: Rock) -> NDArray[np.uint8]:
    """A core that every test may read, grown once."""
    volume = phantom(rock, slices=24, size=96, seed=0)
    volume.flags.writeable = False
    return volume


def correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_there_are_four_rocks_with_four_names() -> None:
    assert len({rock.name for rock in ROCKS}) == len(ROCKS) == 4


def test_a_rock_cannot_be_changed_behind_its_name() -> None:
    with pytest.raises(FrozenInstanceError):
        ROCKS[0].noise = 0.0  # type: ignore[misc]


@each_rock
@pytest.mark.parametrize(("slices", "size"), [(1, 16), (3, 40), (5, 33)])
def test_a_core_has_the_shape_asked_for_and_eight_bits(rock: Rock, slices: int, size: int) -> None:
    volume = phantom(rock, slices=slices, size=size, seed=0)
    assert volume.shape == (slices, size, size)
    assert volume.dtype == np.uint8


@each_rock
def test_the_same_arguments_give_the_same_voxels(rock: Rock) -> None:
    np.testing.assert_array_equal(phantom(rock, slices=4, size=48, seed=7), phantom(rock, slices=4, size=48, seed=7))


@each_rock
def test_another_seed_or_another_name_gives_another_core(rock: Rock) -> None:
    volume = phantom(rock, slices=4, size=64, seed=0)
    for other in (
        phantom(rock, slices=4, size=64, seed=1),
        phantom(replace(rock, name=f"{rock.name}-2"), slices=4, size=64, seed=0),
    ):
        assert abs(correlation(volume, other)) < 0.4


@each_rock
def test_neighbouring_slices_are_correlated_and_distant_ones_are_not(rock: Rock) -> None:
    volume = phantom(rock, slices=65, size=40, seed=3)
    near = np.mean([correlation(volume[z], volume[z + 1]) for z in range(0, 64, 8)])
    # Bedding and cleats run on along depth, by nature: what is lost with distance is what the test asks about.
    far = np.mean([correlation(volume[z], volume[z + 56]) for z in range(9)])
    assert near > 0.75
    assert far < 0.4


@each_rock
def test_grey_levels_spread_widely_and_are_not_clipped(rock: Rock) -> None:
    volume = core(rock)
    low, middle, high = np.percentile(volume, [0.5, 50, 99.5])
    assert low < 0.7 * middle
    assert high > 1.15 * middle
    assert middle == pytest.approx(rock.matrix, rel=0.2)
    assert np.mean((volume == 0) | (volume == 255)) < 1e-3


def test_every_phase_lies_below_white_and_above_black() -> None:
    for rock in ROCKS:
        assert 4 * rock.noise < rock.pore < rock.matrix < rock.heavy < 255 - 2 * rock.noise


def lost_by_halving(volume: NDArray[np.uint8]) -> float:
    """Mean squared error, in grey levels squared, of every fourth slice after halving and cubic enlargement."""
    errors = []
    for image in volume[::4].astype(float):
        halved = image.reshape(48, 2, 48, 2).mean(axis=(1, 3))
        again = zoom(halved, 2, order=3, grid_mode=True, mode="nearest")
        errors.append(np.mean((image - again)[4:-4, 4:-4] ** 2))
    return float(np.mean(errors))


@each_rock
def test_halving_a_core_loses_structure_and_not_only_noise(rock: Rock) -> None:
    flat = np.full((24, 96, 96), rock.matrix, np.float32)
    noise = lost_by_halving(module._scan(rock, np.random.default_rng(0), flat))
    lost = lost_by_halving(core(rock))
    assert lost > 1.4 * noise
    assert 29 < 10 * np.log10(255**2 / lost) < 38


@each_rock
def test_the_scanner_adds_no_more_noise_than_it_declares(rock: Rock) -> None:
    flat = np.full((4, 64, 64), rock.matrix, np.float32)
    quiet = replace(rock, rings=0.0, cupping=0.0)
    scanned = module._scan(quiet, np.random.default_rng(0), flat).astype(float)
    assert scanned.std() == pytest.approx(rock.noise, rel=0.1)
    assert scanned.mean() == pytest.approx(rock.matrix, abs=0.3)


def test_the_scanner_blurs_cups_and_draws_rings() -> None:
    flat = np.full((2, 65, 65), 100, np.float32)
    still = replace(ROCKS[0], noise=0.0, rings=0.0, cupping=0.0, psf=0.8)
    step = flat.copy()
    step[:, :, 32:] = 200
    assert 100 < module._scan(still, np.random.default_rng(0), step)[0, 32, 31] < 150
    cupped = module._scan(replace(still, cupping=0.1), np.random.default_rng(0), flat)[0].astype(int)
    assert cupped[32, 32] < cupped[32, 16] < cupped[32, 0]
    rings = module._scan(replace(still, rings=4.0), np.random.default_rng(0), flat)[0]
    assert rings.std() > 0.5


def test_porosity_is_the_share_of_sandstone_left_open_by_the_grains() -> None:
    tight, open_ = (
        module._sandstone(replace(ROCKS[0], porosity=p), np.random.default_rng(0), (16, 96, 96)) for p in (0.05, 0.3)
    )
    assert np.mean(tight < 60) + 0.08 < np.mean(open_ < 60)


def test_a_field_has_unit_variance_and_the_declared_covariance() -> None:
    field = module._field(np.random.default_rng(0), (64, 64, 64), 2.0)
    assert field.std() == pytest.approx(1, abs=0.05)
    lag = np.mean(field[3:] * field[:-3])
    assert lag == pytest.approx(np.exp(-(3**2) / (4 * 2**2)), abs=0.05)
    assert abs(correlation(field[0], field[-1])) < 0.2  # not periodic


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    out = tmp_path_factory.mktemp("phantom") / "new" / "out"
    return out, write_phantom(out, cores=6, slices=2, size=32, spacing=3, seed=5)


def test_folders_are_named_after_the_rocks_and_numbered_when_they_repeat(
    written: tuple[Path, list[Path]],
) -> None:
    out, folders = written
    names = [rock.name for rock in ROCKS]
    assert folders == [out / name for name in [*names, f"{names[0]}-2", f"{names[1]}-2"]]
    assert sorted(out.iterdir()) == sorted(folders)
    assert [path.name for path in out.parent.iterdir()] == ["out"]  # nothing is left aside


def test_files_are_grey_pngs_that_hold_the_slices_of_the_core(written: tuple[Path, list[Path]]) -> None:
    for rock, folder in zip(ROCKS, written[1], strict=False):
        assert sorted(path.name for path in folder.iterdir()) == ["0000.png", "0003.png"]
        volume = phantom(rock, slices=6, size=32, seed=5)
        for z in (0, 3):
            with Image.open(folder / f"{z:04d}.png") as image:
                assert (image.format, image.mode) == ("PNG", "L")
                np.testing.assert_array_equal(np.asarray(image), volume[z])


def test_a_repeated_rock_is_another_core(written: tuple[Path, list[Path]]) -> None:
    first, again = (np.asarray(Image.open(written[1][i] / "0000.png")) for i in (0, 4))
    assert not np.array_equal(first, again)


def test_an_empty_folder_is_taken_and_a_full_one_refused_untouched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_phantom(out, cores=1, slices=1, size=16)
    before = sorted(out.rglob("*"))
    with pytest.raises(FileExistsError, match=r"^out must be a new or an empty folder, got .*out; "):
        write_phantom(out, cores=2, slices=1, size=16)
    assert sorted(out.rglob("*")) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(FileExistsError, match="out must be"):
        write_phantom(out, cores=1, slices=1, size=16)
    assert out.read_text() == "mine"


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(rock: Rock, *, slices: int, size: int, seed: int) -> NDArray[np.uint8]:
        if rock.name != ROCKS[0].name:
            raise OSError("disk full")
        return phantom(rock, slices=slices, size=size, seed=seed)

    monkeypatch.setattr(module, "phantom", fail)
    with pytest.raises(OSError, match="disk full"):
        write_phantom(tmp_path / "out", cores=2, slices=1, size=16)
    assert list(tmp_path.iterdir()) == []


def test_too_few_slices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^slices must be at least 1, got 0; "):
        phantom(ROCKS[0], slices=0, size=32, seed=0)
    with pytest.raises(ValueError, match=r"^slices must be at least 1, got 0; "):
        write_phantom(tmp_path / "new" / "out", slices=0)
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_size_and_too_few_cores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"size must be at least 16, got 15; "):
        phantom(ROCKS[0], slices=1, size=15, seed=0)
    with pytest.raises(ValueError, match=r"size must be at least 16, got 15; "):
        write_phantom(tmp_path / "new" / "out", size=15)
    with pytest.raises(ValueError, match=r"cores must be at least 1, got 0; "):
        write_phantom(tmp_path / "out", cores=0)
    with pytest.raises(ValueError, match=r"spacing must be at least 1, got 0; "):
        write_phantom(tmp_path / "out", spacing=0)
    assert list(tmp_path.iterdir()) == []
