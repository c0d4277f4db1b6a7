import base64
import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from coresr_eval.report import Crop, png_data_uri
from coresr_eval.report.pictures import ramp, shown

Make = Callable[..., Crop]


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    assert image.format == "PNG"
    assert image.mode in {"L", "P"}
    assert not image.info.keys() & {"exif", "Software", "Creation Time"}
    return image


def pixels(uri: object) -> NDArray[np.float64]:
    return np.asarray(decoded(str(uri)), np.float64)


def test_a_png_data_uri_decodes_to_the_image_in_86_greys() -> None:
    levels = np.linspace(0, 1, 256).reshape(8, 32)
    found = pixels(png_data_uri(levels))
    assert len(np.unique(found)) == 86
    assert np.abs(found / 255 - levels).max() <= 0.5 / 85 + 1e-9  # half a step
    windowed = pixels(png_data_uri(np.array([[0.0, 0.25, 0.5, 0.75, 1.0]]), window=(0.25, 0.75)))
    assert windowed.tolist() == [[0, 0, 126, 255, 255]]


def test_a_coloured_png_shows_the_colours_given() -> None:
    for count in (256, 64):
        colours = np.random.default_rng(0).integers(0, 256, (count, 3), dtype=np.uint8)
        image = decoded(png_data_uri(np.array([[0.0, 40 / (count - 1), 1.0]]), colours=colours)).convert("RGB")
        np.testing.assert_array_equal(np.asarray(image)[0], colours[[0, 40, count - 1]])


@pytest.mark.parametrize(
    ("image", "window"), [(np.zeros(3), (0, 1)), (np.full((2, 2), np.nan), (0, 1)), (np.zeros((2, 2)), (1, 1))]
)
def test_a_png_of_what_is_no_image_is_refused(image: NDArray[np.float64], window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"image must be \(y, x\), finite, its window not empty, got"):
        png_data_uri(image, window=window)


def test_the_colour_scale_rises_evenly_in_lightness() -> None:
    rgb = ramp() / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > (6 / 29) ** 3, 116 * np.cbrt(luminance) - 16, luminance * (29 / 3) ** 3)
    assert (np.diff(lightness) > 0).all()
    np.testing.assert_allclose(lightness, np.linspace(0, 97, 256), atol=4)


def maps_of(one: Crop) -> list[NDArray[np.float64]]:
    return [*one.errors().values(), *one.unsupported().values()]


def test_maps_are_the_root_mean_square_within_each_lr_pixel(crop: Make) -> None:
    one = crop()
    errors, (beyond,) = one.errors(), one.unsupported().values()
    assert (list(errors), list(one.unsupported())) == (["bicubic", "net"], ["net"])
    for y, x in ((0, 0), (3, 5), (7, 7)):
        block = (one.images["net"] - one.hr)[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert errors["net"][y, x] == pytest.approx(math.sqrt((block**2).mean()))
    assert {tuple(at) for at in np.argwhere(beyond)} == {(2, 4)}
    assert beyond[2, 4] == pytest.approx(0.06)
    whole = math.sqrt(((one.images["bicubic"] - one.hr) ** 2).mean())
    assert math.sqrt((errors["bicubic"] ** 2).mean()) == pytest.approx(whole)
    assert not crop(beyond=False).unsupported()


def test_all_maps_share_one_scale(crop: Make) -> None:
    crops = [crop(error=0.9), crop(error=0.02)]
    panels, scale = shown(crops)
    maps = [image for one in crops for image in maps_of(one)]
    top = math.ceil(255 * float(np.quantile(np.stack(maps), 0.995)))
    assert scale["top"] == top
    assert scale["beyond"] == pytest.approx(float((np.stack(maps) * 255 > top).mean()))
    assert scale["beyond"] != 0
    drawn = [panel for one in panels for kind in ("errors", "unsupported") for panel in one[kind]]  # type: ignore[attr-defined]
    for panel, image in zip(drawn, maps, strict=True):
        np.testing.assert_array_equal(pixels(panel["picture"]), np.rint(np.clip(image * 255 / top, 0, 1) * 63))
        assert panel["rms"] == pytest.approx(255 * math.sqrt((image**2).mean()))
    assert [panel["name"] for panel in drawn[:3]] == ["bicubic", "net", "net"]
    assert decoded(str(scale["bar"])).convert("RGB").getpixel((63, 0)) == tuple(ramp()[-1])


def test_all_images_of_a_crop_share_the_window_that_is_told() -> None:
    hr = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    images = {"bicubic": hr**2, "a": np.sqrt(hr), "b": hr**3}
    (found,), _ = shown([Crop(core="a", slice=0, lr=hr[::2, ::2], hr=hr, images=images)])
    low, high = int(str(found["low"])), int(str(found["high"]))
    assert low == math.floor(255 * np.quantile(hr, 0.005))
    assert high == math.ceil(255 * np.quantile(hr, 0.995))
    panels = {panel["name"]: panel for panel in found["pictures"]}  # type: ignore[attr-defined]
    assert list(panels) == ["LR", "bicubic", "a", "b", "HR"]
    for name, image in {"LR": hr[::2, ::2], **images, "HR": hr}.items():
        expected = 255 * np.clip((255 * image - low) / (high - low), 0, 1)
        assert np.abs(pixels(panels[name]["picture"]) - expected).max() <= 1.5 + 1e-9


def test_a_flat_crop_is_shown() -> None:
    flat = np.ones((4, 4))
    (found,), scale = shown([Crop(core="a", slice=0, lr=flat[:2, :2], hr=flat, images={"bicubic": flat})])
    assert (found["low"], found["high"], scale["top"], scale["beyond"]) == (254, 255, 1, 0.0)


def cropped(**changed: NDArray[np.float64]) -> Crop:
    arrays = {of: np.zeros((16, 16)) for of in ("bicubic", "net", "hr", "detail")} | {"lr": np.zeros((8, 8))} | changed
    images = {name: arrays[name] for name in ("bicubic", "net")}
    return Crop(core="a", slice=7, lr=arrays["lr"], hr=arrays["hr"], images=images, beyond={"net": arrays["detail"]})


@pytest.mark.parametrize("name", ["bicubic", "net", "hr", "lr", "detail"])
@pytest.mark.parametrize("shape", [(15, 16), (16, 15), (1, 16, 16), (0, 16)])
def test_crops_of_unequal_shapes_are_refused(name: str, shape: tuple[int, ...]) -> None:
    assert cropped().scale == 2
    with pytest.raises(ValueError, match=r"of core a slice 7 must be .*, got .*\(\d"):
        cropped(**{name: np.zeros(shape)})


def test_a_crop_of_lines_or_with_a_hole_is_refused() -> None:
    for image in (np.zeros(16), np.full((16, 16), np.nan)):
        with pytest.raises(ValueError, match=r"hr of core a slice 7 must be finite and \(y, x\), got shape"):
            cropped(hr=image)
    with pytest.raises(ValueError, match="detail of net beyond lr of core a slice 7 must be finite"):
        cropped(detail=np.full((16, 16), np.nan))
