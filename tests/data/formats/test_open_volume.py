"""Whatever people have is opened by what it is: content first, then its name."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from coresr_data.formats import kind_of, looks_like_volume, open_volume
from coresr_data.formats.extras import MissingExtraError
from coresr_data.formats.images import write_slice
from coresr_data.formats.raw import raw_header
from coresr_data.volume import along

BLOCK = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype(np.uint16)
MHD = "NDims = 3\nDimSize = 7 6 5\nElementType = MET_USHORT\nElementByteOrderMSB = False\nElementDataFile = a.raw\n"


def npy(path: Path, block: Any) -> None:
    with path.open("wb") as file:
        np.save(file, block)


def matlab(path: Path, block: Any) -> None:
    from scipy.io import savemat

    savemat(path, {"temp": block.transpose(1, 2, 0)})


def nifti(path: Path, block: Any) -> None:
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(block.transpose(2, 1, 0), np.eye(4)), path)


def nrrd(path: Path, block: Any) -> None:
    pytest.importorskip("nrrd").write(str(path), block, index_order="C")


def zarr(path: Path, block: Any) -> None:
    array = pytest.importorskip("zarr").create_array(store=str(path), shape=block.shape, dtype=block.dtype)
    array[:] = block


def slices(path: Path, block: Any) -> None:
    path.mkdir()
    for index, levels in enumerate(block):
        write_slice(path / f"{index}.png", levels)


def metaimage(path: Path, block: Any) -> None:
    path.write_text(MHD)
    block.tofile(path.parent / "a.raw")


WRITERS: dict[str, tuple[str, Any]] = {
    "tiff": ("a.tif", lambda p, b: tifffile.imwrite(p, b, photometric="minisblack")),
    "npy": ("a.npy", np.save),
    "npz": ("a.npz", lambda p, b: np.savez(p, rock=b)),
    "matlab": ("a.mat", matlab),
    "nifti": ("a.nii", nifti),
    "nifti packed": ("a.nii.gz", nifti),
    "nrrd": ("a.nrrd", nrrd),
    "zarr": ("a.zarr", zarr),
    "slices": ("a", slices),
    "metaimage": ("a.mhd", metaimage),
    "npy under another name": ("a.dat", npy),
    "tiff under another name": ("a.png", lambda p, b: tifffile.imwrite(p, b, photometric="minisblack")),
}


@pytest.mark.parametrize("case", WRITERS)
def test_names_of_every_kind_can_be_written_down_whatever_their_bytes(tmp_path: Path, case: str) -> None:
    name, write = WRITERS[case]
    write(tmp_path / name, BLOCK)
    odd = tmp_path / f"\udcff{name}"
    (tmp_path / name).rename(odd)
    for volume in (open_volume(odd), along(open_volume(odd), "y")):
        assert "".join((volume.core, *volume.names)).encode()
        assert volume.core == r"\xffa"


@pytest.mark.parametrize("case", WRITERS)
def test_every_kind_is_opened_with_the_same_levels_in_the_same_place(tmp_path: Path, case: str) -> None:
    name, write = WRITERS[case]
    write(tmp_path / name, BLOCK)
    volume = open_volume(tmp_path / name)
    assert kind_of(tmp_path / name) == case.split(maxsplit=1)[0]
    assert (volume.core, len(volume), volume.size) == ("a", 5, (6, 7))
    assert volume.dtype == np.uint16
    for index in range(5):
        np.testing.assert_array_equal(volume[index], BLOCK[index])
    assert looks_like_volume(tmp_path / name) == (case != "slices")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.jpg"])
def test_a_single_image_is_one_slice_and_no_volume_by_itself(tmp_path: Path, name: str) -> None:
    Image.fromarray(BLOCK[0].astype(np.uint8)).save(tmp_path / name)
    volume = open_volume(tmp_path / name)
    assert (volume.core, len(volume), volume.size) == ("a", 1, (6, 7))
    assert not looks_like_volume(tmp_path / name)


def test_a_raw_file_needs_a_header_and_any_file_may_be_given_one(tmp_path: Path) -> None:
    for name in ("a.raw", "a.vol", "a"):
        BLOCK.astype(">u2").tofile(tmp_path / name)
        volume = open_volume(tmp_path / name, raw=raw_header("5x6x7:uint16:big"))
        np.testing.assert_array_equal(volume[4], BLOCK[4])
    with pytest.raises(ValueError, match=r"a\.raw must come with a header, got none; say its shape"):
        open_volume(tmp_path / "a.raw")
    with pytest.raises(
        ValueError, match=r"^volume .*a\.vol must be one of \.npz, .*, got another kind of file; convert"
    ):
        open_volume(tmp_path / "a.vol")
    assert looks_like_volume(tmp_path / "a.raw")
    assert not looks_like_volume(tmp_path / "a.vol")


def test_a_variable_is_chosen_where_there_are_names_and_refused_elsewhere(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", rock=BLOCK, mask=BLOCK[:2])
    assert len(open_volume(tmp_path / "a.npz", variable="mask")) == 2
    matlab(tmp_path / "a.mat", BLOCK)
    assert len(open_volume(tmp_path / "a.mat", variable="temp")) == 5
    with pytest.raises(ValueError, match="nowhere"):
        open_volume(tmp_path / "a.mat", variable="nowhere")
    np.save(tmp_path / "a.npy", BLOCK)
    with pytest.raises(
        ValueError, match=r"^variable must be asked of \.npz and \.mat files, got rock of .*a\.npy; leave"
    ):
        open_volume(tmp_path / "a.npy", variable="rock")


def test_names_are_known_in_capitals_too(tmp_path: Path) -> None:
    metaimage(tmp_path / "A.MHD", BLOCK)
    assert kind_of(tmp_path / "A.MHD") == "metaimage"
    assert len(open_volume(tmp_path / "A.MHD")) == 5


def test_dicom_is_known_by_its_content_or_its_name(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert kind_of(tmp_path / "IM0001") == kind_of(tmp_path) == "dicom"
    write_slice(tmp_path / "1.png", BLOCK[0])
    assert kind_of(tmp_path) == "slices"
    (tmp_path / "2.DCM").write_bytes(b"without a preamble")
    assert kind_of(tmp_path / "2.DCM") == kind_of(tmp_path) == "dicom"


def test_what_is_not_there_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^volume must be a file or a folder, got .*nowhere, which is not there$"
    ):
        open_volume(tmp_path / "nowhere")
    assert not looks_like_volume(tmp_path / "nowhere")


def test_an_empty_folder_has_no_slices(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^folder must hold PNG, TIFF, BMP or JPEG slices"):
        open_volume(tmp_path)


def test_a_missing_library_is_named_when_a_file_of_its_kind_is_opened_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nifti(tmp_path / "a.nii", BLOCK)
    nrrd(tmp_path / "a.nrrd", BLOCK)
    zarr(tmp_path / "a.zarr", BLOCK)
    for module in ("nibabel", "nrrd", "zarr", "pydicom", "h5py"):
        monkeypatch.setitem(sys.modules, module, None)
    np.save(tmp_path / "a.npy", BLOCK)
    assert len(open_volume(tmp_path / "a.npy")) == 5
    for name, library in (("a.nii", "nibabel"), ("a.nrrd", "nrrd"), ("a.zarr", "zarr")):
        with pytest.raises(MissingExtraError, match=f"must have {library}, got none; pip install"):
            open_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("folder", "kind", "count", "size", "dtype"),
    [
        ("sandstone-versa/slices", "slices", 9, (576, 576), "uint8"),
        ("shale-fibsem/slices", "slices", 14, (1104, 1100), "uint8"),
        ("duvernay-sem", "slices", 90, (256, 256), "uint8"),
        ("bentheimer-pair/hr_2um.tif", "tiff", 90, (135, 390), "uint8"),
        ("bentheimer-lr/bentheimer_subvol2_LR_1.tif", "tiff", 5, (225, 225), "uint8"),
    ],
)
def test_real_data_are_known_for_what_they_are(  # noqa: PLR0917, one row of the table of real data
    real_data: Path, folder: str, kind: str, count: int, size: tuple[int, int], dtype: str
) -> None:
    volume = open_volume(real_data / folder)
    assert kind_of(real_data / folder) == kind
    assert (len(volume), volume.size, str(volume.dtype)) == (count, size, dtype)
    assert looks_like_volume(real_data / folder) == (kind != "slices")


def test_the_real_dicom_series_is_known_by_its_content(real_data: Path) -> None:
    pytest.importorskip("pydicom")
    assert kind_of(real_data / "core-ct") == "dicom"
    (first, *_) = sorted((real_data / "core-ct").iterdir())
    assert kind_of(first) == "dicom"
    volume = open_volume(real_data / "core-ct")
    assert (len(volume), volume.size) == (4, (512, 512))
