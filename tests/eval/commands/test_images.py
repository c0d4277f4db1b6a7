"""coresr_eval.commands.images: grey images of any program, and what could be taken for one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coresr_eval.commands.images import Folder, read, stem
from tests.eval.commands.test_folders import levels


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0001x2.png", "0001"),
        ("slice_07_SR.tif", "slice_07"),
        ("a-lr.png", "a"),
        ("0001.png", "0001"),
        ("sr.png", "sr"),
        ("x2.png", "x2"),
        ("max4.png", "max4"),
        ("plug sr.png", "plug"),
    ],
)
def test_names_are_told_apart_without_their_last_word(name: str, expected: str) -> None:
    assert stem(Path(name)) == expected


def test_formats_keep_their_levels(tmp_path: Path) -> None:
    deep, real = levels(0, "uint16"), levels(0).astype(np.float32) / 7
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(real).save(tmp_path / "real.tif")
    np.save(tmp_path / "big.npy", deep.astype(">u2"))
    Image.fromarray(np.repeat(levels(0)[..., None], 3, axis=-1)).save(tmp_path / "grey_in_colours.png")
    for name, expected in (
        ("deep.png", deep),
        ("real.tif", real),
        ("big.npy", deep),
        ("grey_in_colours.png", levels(0)),
    ):
        found = read(tmp_path / name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_what_is_no_grey_image_is_refused(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    (tmp_path / "text.png").write_text("no image")
    np.save(tmp_path / "holes.npy", np.array([[1.0, np.nan]]))
    np.save(tmp_path / "bool.npy", np.ones((4, 4), bool))
    first = Image.fromarray(levels(0))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[first])
    for name in ("colours.png", "text.png", "holes.npy", "bool.npy", "pages.tif"):
        with pytest.raises(ValueError, match=f"{name} must be"):
            read(tmp_path / name)


def test_levels_are_never_taken_for_others(tmp_path: Path) -> None:
    """What a TIFF says of sign, white and direction is obeyed or refused."""
    signed = (levels(0).astype(np.int16) - 100) * 50
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "signed.tif", signed)
    np.testing.assert_array_equal(read(tmp_path / "signed.tif"), signed)
    assert read(tmp_path / "signed.tif").dtype == np.int16
    tifffile.imwrite(tmp_path / "small.tif", (signed // 100).astype(np.int8))
    tifffile.imwrite(tmp_path / "wide.tif", np.full((8, 8), 3_000_000_000, np.uint32))
    tifffile.imwrite(tmp_path / "white.tif", levels(0), photometric="miniswhite")
    tifffile.imwrite(tmp_path / "turned.tif", levels(0), extratags=[(274, "H", 1, 6, True)])
    for name in ("small.tif", "wide.tif", "white.tif", "turned.tif"):
        with pytest.raises(ValueError, match=f"{name} must be a readable image"):
            read(tmp_path / name)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(levels(0)).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-2000])
    Image.fromarray(levels(0)).save(tmp_path / "whole.tif")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:3000])
    np.savez(tmp_path / "archive.npz", levels(0))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    np.save(tmp_path / "empty.npy", np.zeros((0, 80), np.uint8))
    promise = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }"
    head = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + promise.ljust(117) + b"\n"
    (tmp_path / "promise.npy").write_bytes(head)
    for name in ("cut.png", "cut.tif", "archive.npy", "empty.npy", "promise.npy"):
        with pytest.raises(ValueError, match=f"{name} must be"):
            read(tmp_path / name)


def test_a_bomb_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(levels(0)).save(tmp_path / "large.png")
    for limit in (levels(0).size - 1, levels(0).size // 3):  # Pillow warns above its limit and refuses twice that
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=r"large\.png must be a readable image"):
            read(tmp_path / "large.png")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a_SR.png", "a.png"):
        Image.fromarray(levels(0)).save(tmp_path / name)
    with pytest.raises(ValueError, match="must have names of their own"):
        Folder(tmp_path)


def test_a_folder_without_images_is_missing_input(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(FileNotFoundError, match="must hold images"):
        Folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="must be a folder of images, got a file"):
        Folder(tmp_path / "notes.txt")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sentinel,)


def test_a_pickle_in_an_array_is_never_run(tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([[Payload(tmp_path / "ran")]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickled\.npy must be"):
        read(tmp_path / "pickled.npy")
    assert not (tmp_path / "ran").exists()
