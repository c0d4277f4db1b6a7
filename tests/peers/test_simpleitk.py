"""SimpleITK writes files, and we read from them the levels and the voxel that went in."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coresr_data.formats import open_volume
from coresr_data.volume import Levels, Volume

try:
    sitk = import_module("SimpleITK")
except Exception as error:  # noqa: BLE001 - a library of another system, say
    pytest.skip(f"SimpleITK cannot be imported: {error}", allow_module_level=True)

SHAPE = (4, 6, 9)
SPACING_MM = (0.002, 0.003, 0.0045)
"""Along x, y and z, as SimpleITK orders them."""
VOXEL_UM = (4.5, 3.0, 2.0)
DTYPES = ["uint8", "int16", "uint16", "int32", "float32", "float64"]


def levels(dtype: str) -> Levels:
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.normal(1000, 300, SHAPE).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, SHAPE, dtype, endpoint=True)


def write(path: Path, array: Levels, *, compressed: bool = False) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    sitk.WriteImage(image, str(path), useCompression=compressed)


def assert_holds(volume: Volume, array: Levels) -> None:
    assert volume.dtype == array.dtype
    np.testing.assert_array_equal(np.stack([volume[index] for index in range(len(volume))]), array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["core.mha", "core.mhd", "core.nrrd", "core.nhdr", "core.nii", "core.nii.gz"])
def test_levels_that_simpleitk_wrote_are_read(name: str, dtype: str, tmp_path: Path) -> None:
    write(tmp_path / name, levels(dtype))
    assert_holds(open_volume(tmp_path / name), levels(dtype))


@pytest.mark.parametrize("name", ["core.mha", "core.mhd", "core.nrrd", "core.nhdr"])
def test_levels_that_simpleitk_compressed_are_read(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, levels("uint16"), compressed=True)
    assert_holds(open_volume(tmp_path / name), levels("uint16"))


@pytest.mark.parametrize("name", ["core.mha", "core.mhd", "core.nii", "core.nii.gz"])
def test_the_voxel_that_simpleitk_wrote_is_read(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, levels("uint8"))
    assert open_volume(tmp_path / name).voxel_um == pytest.approx(VOXEL_UM, rel=1e-6)


@pytest.mark.parametrize("name", ["core.nrrd", "core.nhdr"])
def test_the_voxel_of_a_nrrd_of_simpleitk_is_unknown_because_it_gives_no_unit(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, levels("uint8"))
    assert open_volume(tmp_path / name).voxel_um is None


def write_series(folder: Path, array: Levels, step_mm: float, **more: str) -> None:
    """One file a slice, `step_mm` apart along z, named against their order; `more` are further tags."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index, plane in enumerate(array):
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing((2.0, 3.0, 1.0))
        said = {
            "0008|0060": "CT",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.2",
        }
        said |= {"0020|0013": str(index), "0020|0032": f"0\\0\\{step_mm * index}", "0020|0037": "1\\0\\0\\0\\1\\0"}
        for tag, value in (said | more).items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{len(array) - index}.dcm"))
        writer.Execute(image)


@pytest.mark.parametrize("step_mm", [4.5, -4.5])
def test_a_dicom_series_that_simpleitk_wrote_is_read(step_mm: float, tmp_path: Path) -> None:
    write_series(tmp_path / "core", levels("int16"), step_mm)
    volume = open_volume(tmp_path / "core")
    assert_holds(volume, levels("int16"))
    assert volume.voxel_um == pytest.approx((4500, 3000, 2000), rel=1e-6)


def test_a_dicom_series_is_rescaled_as_simpleitk_rescales_it(tmp_path: Path) -> None:
    array = 2 * np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 1000
    write_series(tmp_path / "core", array, 4.5, **{"0028|1053": "2", "0028|1052": "-1000"})
    assert b"-1000" in (tmp_path / "core" / "1.dcm").read_bytes()
    volume = open_volume(tmp_path / "core")
    np.testing.assert_array_equal(np.stack([volume[index] for index in range(len(volume))]), array)


@pytest.mark.parametrize("name", ["PAT_4636_39L_0001_000500.dcm"])
def test_a_real_dicom_slice_holds_what_simpleitk_reads(name: str, real_data: Path) -> None:
    theirs: Any = sitk.ReadImage(str(real_data / "core-ct" / name))
    ours = open_volume(real_data / "core-ct" / name)
    np.testing.assert_array_equal(ours[0], sitk.GetArrayFromImage(theirs)[0])
    assert ours.voxel_um is not None
    assert [side / 1000 for side in ours.voxel_um[:0:-1]] == pytest.approx(theirs.GetSpacing()[:2], rel=1e-6)
