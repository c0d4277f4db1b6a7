"""Micrometres are read where somebody measured them, and never from the resolution of a screen or a printer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coresr_data.formats.images import look, write_slice
from coresr_data.formats.voxels import PRINTED, cubic, micrometres, png_options, png_voxel, tiff_voxel
from coresr_data.volume import Voxel

GREY = np.zeros((4, 6), np.uint8)
NO_UNIT, INCH, CENTIMETRE = 1, 2, 3


def tags(x: Any, y: Any, unit: int = NO_UNIT) -> dict[int, Any]:
    return {282: x, 283: y, 296: unit}


def close(found: Voxel | None, expected: tuple[float, ...]) -> None:
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("micron", 1), ("um", 1), ("µm", 1), ("μm", 1), ("\\u00B5m", 1), ("mm", 1000), ("nm", 0.001), ("cm", 10000)],
)
def test_imagej_says_its_unit_and_the_distance_of_its_slices(unit: str, factor: float) -> None:
    text = f"ImageJ=1.53t\nimages=5\nslices=5\nunit={unit}\nspacing=2.5\nloop=false\n"
    close(tiff_voxel(text, tags((2, 10), (4, 10))), (2.5 * factor, 2.5 * factor, 5 * factor))


def test_imagejs_spacing_may_be_negative() -> None:
    close(tiff_voxel("ImageJ=1.53t\nunit=um\nspacing=-3.0\n", tags((2, 1), (2, 1))), (3, 0.5, 0.5))


def test_imagej_says_a_unit_of_its_own_for_rows_and_slices() -> None:
    text = "ImageJ=1.53t\nunit=um\nyunit=nm\nzunit=mm\nspacing=0.005\n"
    close(tiff_voxel(text, tags((2, 1), (1, 1000))), (5, 1, 0.5))
    for axis in "yz":
        assert tiff_voxel(f"ImageJ=1.53t\nunit=um\n{axis}unit=sec\nspacing=2\n", tags((2, 1), (2, 1))) is None


@pytest.mark.parametrize("unit", ["inch", "pixel", "", "furlong"])
def test_imagej_without_a_length_says_nothing(unit: str) -> None:
    assert tiff_voxel(f"ImageJ=1.53t\nunit={unit}\n", tags((2, 1), (2, 1))) is None
    assert tiff_voxel("ImageJ=1.53t\n", tags((2, 1), (2, 1), CENTIMETRE)) is None


def test_ome_says_each_side_in_a_unit_of_its_own() -> None:
    text = (
        '<?xml version="1.0"?><OME><Image><Pixels Type="uint8" PhysicalSizeX="2.5" PhysicalSizeXUnit="&#181;m" '
        'PhysicalSizeY="0.003" PhysicalSizeYUnit="mm" PhysicalSizeZ="4000" PhysicalSizeZUnit="nm" /></Image></OME>'
    )
    close(tiff_voxel(text, tags((72, 1), (72, 1), INCH)), (4, 3, 2.5))
    close(tiff_voxel("<OME><ome:Pixels PhysicalSizeX='2' PhysicalSizeY='2' SizeX='6'></OME>", {}), (2, 2, 2))
    assert tiff_voxel('<OME><Pixels SizeX="6" SizeY="4"/></OME>', tags((5, 1), (5, 1), CENTIMETRE)) is None
    assert tiff_voxel('<OME><Pixels PhysicalSizeX="2" PhysicalSizeXUnit="pixel" PhysicalSizeY="2"/></OME>', {}) is None


@pytest.mark.parametrize("dpi", PRINTED)
@pytest.mark.parametrize("unit", [NO_UNIT, INCH])
def test_inches_and_bare_numbers_are_never_believed(dpi: int, unit: int) -> None:
    assert tiff_voxel("", tags((dpi, 1), (dpi, 1), unit)) is None
    assert tiff_voxel("", tags((1000, 3), (1000, 3), unit)) is None


@pytest.mark.parametrize("dpi", PRINTED)
def test_a_printers_resolution_in_centimetres_or_metres_is_not_believed(dpi: int) -> None:
    assert tiff_voxel("", tags((round(dpi / 2.54 * 1000), 1000), (round(dpi / 2.54 * 1000), 1000), CENTIMETRE)) is None
    for rounding in (np.floor, np.ceil):
        in_metres = rounding(dpi / 0.0254) * 0.0254
        assert png_voxel({"dpi": (in_metres, in_metres)}) is None


def test_centimetres_of_a_scan_are_believed() -> None:
    close(tiff_voxel("", tags((1000000, 223), (1000000, 223), CENTIMETRE)), (2.23, 2.23, 2.23))
    assert tiff_voxel("", tags((1, 1), (1, 1), CENTIMETRE)) is None


@pytest.mark.parametrize("bad", [None, (0, 1), (1, 0), (0, 0), "x", (-1, 1), 5])
def test_a_broken_resolution_says_nothing(bad: Any) -> None:
    assert tiff_voxel("ImageJ=1.53t\nunit=um\n", tags(bad, (1, 1))) is None
    assert tiff_voxel("", tags((9999, 1), bad, CENTIMETRE)) is None


def test_pixels_a_metre_are_believed_and_exact_where_the_text_agrees() -> None:
    dpi = (2326 * 0.0254, 2326 * 0.0254)  # of 430 µm, rounded
    close(png_voxel({"dpi": dpi}), (1e6 / 2326,) * 3)
    close(png_voxel({"dpi": dpi, "voxel_um": "430.0 430.0"}), (430, 430, 430))
    for text in ("500.0 500.0", "430.0", "430.0 -430.0", "0 0", "nan nan", "", "a b"):
        close(png_voxel({"dpi": dpi, "voxel_um": text}), (1e6 / 2326,) * 3)
    assert png_voxel({"voxel_um": "430.0 430.0"}) is None
    assert png_voxel({}) is None
    assert png_voxel({"dpi": (0.0254, 0.0254)}) is None
    assert png_voxel({"dpi": (0, 0)}) is None


def test_y_and_x_are_not_exchanged() -> None:
    dpi = (0.0254 / 2e-6, 0.0254 / 2.001e-6)  # Pillow's order is x, y
    np.testing.assert_allclose(png_voxel({"dpi": dpi}) or (), (2.001, 2.001, 2.0), rtol=1e-5)
    close(png_voxel({"dpi": dpi, "voxel_um": "2.001 2.0"}), (2.001, 2.001, 2.0))
    np.testing.assert_allclose(png_voxel({"dpi": dpi, "voxel_um": "2.0 2.001"}) or (), (2.001, 2.001, 2.0), rtol=1e-5)
    np.testing.assert_allclose(png_options((2.001, 2.0))["dpi"], dpi, rtol=1e-5)
    close(tiff_voxel("ImageJ=1\nunit=um\nspacing=9\n", tags((1, 2), (1, 3))), (9, 3, 2))


def test_square_pixels_are_taken_for_cubes_and_others_are_not() -> None:
    assert cubic((2.0, 2.001)) == (2.0, 2.0, 2.001)
    assert cubic((2.0, 2.1)) is None
    assert cubic((2.0, 2.1), 5.0) == (5.0, 2.0, 2.1)
    assert cubic(None) is None
    assert cubic((0.0, 0.0)) is None
    assert cubic((2.0, 1e9), 2.0) is None
    assert cubic((2.0, 2.0), 0.0) == (2.0, 2.0, 2.0)


def test_units_are_known_in_their_usual_spellings() -> None:
    assert [micrometres(unit) for unit in (" µm ", "MICRON", "m", "nanometer")] == [1.0, 1.0, 1e6, 1e-3]
    assert micrometres("inch") is None


@settings(max_examples=15, deadline=None)
@given(side=st.floats(1e-3, 1e5), other=st.floats(1e-3, 1e5))
def test_what_is_written_is_read_to_six_digits(
    tmp_path_factory: pytest.TempPathFactory, side: float, other: float
) -> None:
    folder = tmp_path_factory.mktemp("a")
    for name in ("a.png", "a.tif"):
        write_slice(folder / name, GREY, voxel_um=(side, side))
        found = look(folder / name).voxel_um
        assert found is not None
        np.testing.assert_allclose(found, (side, side, side), rtol=1e-6)
    write_slice(folder / "b.tif", GREY, voxel_um=(side, other))
    with tifffile.TiffFile(folder / "b.tif") as file:
        x, y = (file.pages.first.tags[name].value for name in ("XResolution", "YResolution"))
    np.testing.assert_allclose([y[1] / y[0], x[1] / x[0]], [side, other], rtol=1e-6)


@pytest.mark.parametrize("name", ["a.bmp", "a.jpg"])
def test_densities_of_formats_for_printing_say_nothing_whatever_they_are(tmp_path: Path, name: str) -> None:
    Image.fromarray(GREY).save(tmp_path / name, dpi=(11389, 11389))
    assert look(tmp_path / name).voxel_um is None


def test_a_real_editors_default_says_nothing(tmp_path: Path) -> None:
    for dpi in (72, 96, 300):
        Image.fromarray(GREY).save(tmp_path / "a.png", dpi=(dpi, dpi))
        Image.fromarray(GREY).save(tmp_path / "a.tif", dpi=(dpi, dpi))
        Image.fromarray(GREY).save(tmp_path / "a.jpg", dpi=(dpi, dpi))
        Image.fromarray(GREY).save(tmp_path / "a.bmp", dpi=(dpi, dpi))
        assert [look(tmp_path / f"a.{suffix}").voxel_um for suffix in ("png", "tif", "jpg", "bmp")] == [None] * 4
