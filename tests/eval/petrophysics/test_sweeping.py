import numpy as np
import pytest

from coresr_eval.petrophysics import around, dice, minkowski, otsu, porosity_curve, segment, sweep
from coresr_eval.petrophysics.sweeping import describe


def slices() -> dict[str, np.ndarray]:
    """A sharp image of blobs and a blurred one."""
    rng = np.random.default_rng(0)
    square = np.add.outer(np.fft.fftfreq(128) ** 2, np.fft.fftfreq(128) ** 2)
    blobs = np.fft.ifft2(np.fft.fft2(rng.standard_normal((128, 128))) * np.exp(-400 * square)).real
    hr = np.where(blobs > 0, 0.7, 0.3)
    blurred = np.fft.ifft2(np.fft.fft2(hr) * np.exp(-60 * square)).real
    return {"hr": hr + 0.01 * rng.standard_normal(hr.shape), "lr": blurred}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_porosity_curve_is_the_share_at_or_below_each_threshold(dtype: type) -> None:
    tenths = 1 if issubclass(dtype, np.integer) else 10
    image: np.ndarray = ((np.random.default_rng(0).random((50, 40)) * 20).round() / tenths).astype(dtype)
    thresholds = np.linspace(-1, 21, 45) / tenths
    truth = [segment(image, t).mean() for t in thresholds]
    assert porosity_curve(image, thresholds).tolist() == truth
    assert truth[0] == 0
    assert truth[-1] == 1


def test_sweep_measures_each_image_at_each_threshold() -> None:
    images = slices()
    thresholds = around(images["hr"], otsu(images["hr"]), count=5)
    found = sweep(images, thresholds, voxel_um=2.0)
    assert found.thresholds.tolist() == thresholds.tolist()
    for name, image in images.items():
        curves = found.images[name]
        for number, threshold in enumerate(thresholds):
            truth = minkowski(segment(image, threshold), voxel_um=2.0)
            assert curves.porosity[number] == truth.porosity
            assert curves.specific_surface[number] == truth.specific_surface
            assert curves.euler[number] == truth.euler
        assert curves.porosity == pytest.approx(porosity_curve(image, thresholds))


def test_a_blurred_image_changes_more_over_the_sweep_than_a_sharp_one() -> None:
    images = slices()
    thresholds = around(images["hr"], otsu(images["hr"]), count=9)
    found = sweep(images, thresholds, voxel_um=1.0).images
    low, high = found["hr"].porosity_range
    blurred_low, blurred_high = found["lr"].porosity_range
    assert blurred_low < low - 0.05
    assert blurred_high > high + 0.05
    assert high - low < 0.001
    assert (low, high) == (found["hr"].porosity.min(), found["hr"].porosity.max())


def test_several_slices_are_averaged_and_each_image_has_its_own_voxel() -> None:
    image = slices()["hr"]
    parts = [image[:64], image[64:]]
    one = sweep({"both": parts}, [0.4, 0.5], voxel_um=1).images["both"]
    each = [sweep({"part": part}, [0.4, 0.5], voxel_um=1).images["part"] for part in parts]
    assert one.euler == pytest.approx((each[0].euler + each[1].euler) / 2)
    named = sweep({"hr": image, "lr": image}, [0.5], voxel_um={"hr": 1.0, "lr": 3.0}).images
    assert named["hr"].specific_surface == pytest.approx(3 * named["lr"].specific_surface)


def test_a_slice_is_described_by_what_the_single_measures_say() -> None:
    images = slices()
    found = describe(images["lr"], images["hr"], 0.5, [0.4, 0.5, 0.6], voxel_um=2.0)
    pore, reference = segment(images["lr"], 0.5), segment(images["hr"], 0.5)
    assert found.functionals == minkowski(pore, voxel_um=2.0)
    assert found.dice == dice(pore, reference)[True]
    assert found.curve.tolist() == porosity_curve(images["lr"], [0.4, 0.5, 0.6]).tolist()


def test_thresholds_that_do_not_rise_and_images_without_voxel_are_refused() -> None:
    image = slices()["hr"]
    with pytest.raises(ValueError, match="thresholds must be rising"):
        porosity_curve(image, [0.5, 0.4])
    with pytest.raises(ValueError, match="thresholds must be rising"):
        sweep({"hr": image}, [], voxel_um=1)
    with pytest.raises(ValueError, match="got none for sr"):
        sweep({"hr": image, "sr": image}, [0.5], voxel_um={"hr": 1.0})
    with pytest.raises(ValueError, match="image must hold a voxel or more"):
        porosity_curve(np.zeros((0, 3)), [0.5])
    with pytest.raises(ValueError, match="images must hold one array or more"):
        sweep({"hr": []}, [0.5], voxel_um=1)
