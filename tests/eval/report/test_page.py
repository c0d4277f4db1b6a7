"""The page of scores: what it says of one model and of several."""

import re
from pathlib import Path

import jinja2
import numpy as np
import pytest

from coresr_eval.protocol import Score
from coresr_eval.report import Chart, Crop, Curve, render, summary, write_comparison, write_page
from tests.eval.report.making import PROTOCOL, Make, chart, comparison


def test_equal_arguments_make_equal_bytes(tmp_path: Path, page: Make, crop: Make) -> None:
    pages = []
    for _ in range(2):
        page(crops=[crop()], charts=[chart("c"), chart("d")], notes=["n"], comparison=comparison("net"))
        pages.append((tmp_path / "x.html").read_bytes())
    assert pages[0] == pages[1]
    for name in "yz":
        write_comparison(tmp_path / name, comparison("net"), title="T", protocol=PROTOCOL, charts=[chart("c")])
    assert (tmp_path / "y").read_bytes() == (tmp_path / "z").read_bytes()


def test_the_verdict_says_gain_and_number_and_that_one_slice_is_no_statistics(page: Make, score: Make) -> None:
    text = page().line
    assert "net gains +1.50 dB in PSNR over bicubic (31.50 against 30.00 dB;" in text
    assert "measured on one image." in text
    assert "One slice is no statistics" in text
    assert "Core by core" not in text
    worse = [score(m, p, core=c, number=k) for c in "ab" for k in range(5) for m, p in (("bicubic", 30), ("net", 29))]
    text = page(worse).line
    assert "net gains −1.00 dB" in text
    assert "mean of 10 images of 2 cores." in text
    assert "no statistics" not in text
    assert "Core by core" in text
    one_core = [score("bicubic", 30.0, number=k) for k in range(20)]
    text = page(one_core).text
    assert "All 20 images are of one core" in text
    assert "Bicubic, the baseline alone" in text


def test_a_gain_without_a_value_is_a_dash_and_an_infinite_one_a_sign(page: Make, score: Make) -> None:
    both = [("net", np.inf, 0), ("bicubic", 30.0, 0), ("net", 30.0, 1), ("bicubic", np.inf, 1)]
    assert "gains – dB" in page([score(m, p, number=k) for m, p, k in both]).text
    assert "gains +∞ dB" in page([score(m, p, number=k) for m, p, k in both[:2]]).text


def test_the_table_holds_bicubic_first_and_errors_in_grey_levels(page: Make, score: Make) -> None:
    scores = [score("net", 31.5, mae=0.01, lr_psnr=50.04, drift=-0.003), score("bicubic", 30.0)]
    text = page(scores).line
    head = "model PSNR dB gain over bicubic dB SSIM MAE levels LR-PSNR dB drift levels images"
    first = "bicubic 30.00 – 0.5000 5.10 45.0 +0.26 1"
    assert f"{head} {first} net 31.50 +1.50 0.5000 2.55 50.0 −0.77 1 PSNR," in text
    bare = [Score(model="bicubic", core="a", slice=0, psnr=30.0, ssim=0.5)]
    assert "bicubic 30.00 – 0.5000 – – – 1" in page(bare).line


def test_rocks_and_cores_have_tables_of_their_own(page: Make, score: Make) -> None:
    scores = [score("bicubic", 20.0 + i, core=core) for i, core in enumerate("abc")]
    text = page(scores, rocks={"a": "coal", "b": "shale", "c": "shale"}).line
    assert re.search(
        "Rock by rock rock model .* images coal bicubic 20.00 – .* 1 shale bicubic 21.50 – .* 2 Core", text
    )
    assert "Rock by rock" not in page(scores, rocks=dict.fromkeys("abc", "coal")).text


def test_a_comparison_puts_intervals_letters_and_notes_into_the_table(page: Make) -> None:
    compared = comparison("net")
    (net,) = [row for row in compared.rows if row.model == "net"]
    text = page(comparison=compared).line
    between = f"{net.gain_low:+.2f} to {net.gain_high:+.2f}"
    assert f"net gains +1.50 dB (95 % interval {between}) in PSNR over bicubic" in text
    assert f"+1.50 {between} 0.5000" in text
    assert "images letters bicubic" in text
    assert f" 1 {net.letters} PSNR, SSIM and" in text
    for note in compared.notes:
        assert note in text
    assert "letter" not in page().text


def test_of_several_models_the_best_leads_and_verdicts_follow(page: Make, score: Make) -> None:
    scores = [score("bicubic", 30.0), score("good", 32.0), score("fair", 31.0)]
    text = page(scores, comparison=comparison("fair", "good")).line
    assert "T Best of 2 models, good gains +2.00 dB (95 % interval" in text
    assert re.search(r"\. good is better than fair by \S+ dB and bicubic by \S+ dB: more than chance explains", text)
    alone = page(scores).line
    assert "T Best of 2 models, good gains +2.00 dB in PSNR" in alone
    assert "more than chance" not in alone
    assert "more than chance" not in page(comparison=comparison("net")).line  # its interval says so


def test_gains_of_several_models_stand_side_by_side_core_by_core(page: Make, score: Make) -> None:
    gains = {"bicubic": 0.0, "a": 1.0, "b": -0.5}
    scores = [score(name, 30.0 + gain, core=core) for core in ("x", "y") for name, gain in gains.items()]
    found = page(scores)
    assert "core images bicubic a b x 1 30.00 +1.00 −0.50 y 1 30.00 +1.00 −0.50 " in found.line
    assert "core model PSNR" not in found.line
    assert [tag for tag, _ in found.tags].count("b") == 2


def test_cores_that_are_the_rocks_are_not_told_twice(page: Make, score: Make) -> None:
    scores = [score("bicubic", 20.0 + i, core=core) for i, core in enumerate("ab")]
    text = page(scores, rocks={"a": "coal", "b": "shale"}).text
    assert "Rock by rock" in text
    assert "Core by core" not in text


def test_any_two_pictures_can_be_chosen_and_the_first_two_models_are(page: Make, crop: Make) -> None:
    found = page(crops=[crop()])
    options = [attributes for tag, attributes in found.tags if tag == "option"]
    assert [one["value"] for one in options] == 2 * ["0", "1", "2", "3"]
    assert [at for at, one in enumerate(options) if "selected" in one] == [1, 6]
    assert "left LR bicubic net HR right LR bicubic net HR" in found.line


def test_what_psnr_does_not_show_is_flagged_in_words(page: Make, score: Make) -> None:
    scores = [score("bicubic", 30.0), score("net", 31.5, drift=0.02, lr_psnr=30.0)]
    text = page(scores).line
    assert "net shifts the mean grey level, by +5.1 of 255 on its worst image" in text
    assert "net contradicts its input" in text
    assert "contradicts its input" not in page().text


def test_pictures_are_told_and_their_scale_and_window_too(page: Make, crop: Make) -> None:
    found = page(crops=[crop(error=0.9)])
    assert "Black is grey level 51 of 255 and below, white 200 and above." in found.line
    for text in ("LR image of core a, slice 7, 8 × 8 pixels", "HR image of core a, slice 7, 16 × 16 pixels"):
        assert len(found.images(text)) == 1
    assert len(found.images("Difference of net from HR, core a, slice 7: ")) == 1
    assert len(found.images("Detail in net that LR does not determine, core a, slice 7: ")) == 1
    top = re.search(r"Colour scale of the maps, 0 to (\d+) grey levels", str(found.tags))
    assert top is not None
    assert f"{top[1]} and more" in found.text
    assert "of all are beyond" in found.text
    assert "does not determine" not in page(crops=[crop(beyond=False)]).text


def test_charts_stand_with_title_note_and_what_they_hide(page: Make) -> None:
    found = page(charts=[chart("one"), chart("two")])
    assert [tag for tag, _ in found.tags].count("svg") == 2
    assert "two 1 value is zero or below and has no place on the logarithmic axis." in found.line
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 2


def test_a_name_too_long_for_a_chart_is_told_in_full_below_it(page: Make) -> None:
    name = "edsr-64x16-" + 9 * "long-" + "seed-3"
    assert f"edsr-64x16…-seed-3 is {name}." in page(charts=[chart(name)]).line
    assert " is short." not in page(charts=[chart("short")]).line


def test_a_name_keeps_its_colour_from_chart_to_chart(page: Make) -> None:
    styles = [str(attributes.get("style")) for _, attributes in page(charts=[chart("one"), chart("two")]).tags]
    assert {shade for style in styles for shade in re.findall(r"--curve-\d", style)} == {"--curve-0", "--curve-1"}


def test_a_template_without_one_of_its_values_raises(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text("<p>{{ word }}</p>")
    with pytest.raises(jinja2.UndefinedError, match="'word' is undefined"):
        render("own.html", templates=tmp_path)
    with pytest.raises(jinja2.UndefinedError, match="is undefined"):
        render("scores.html", title="T")


def test_a_page_of_twelve_crops_of_rock_and_four_charts_stays_below_one_and_a_half_megabytes(
    tmp_path: Path, real_data: Path, score: Make
) -> None:
    from PIL import Image

    crops = []
    for path in sorted((real_data / "sandstone-versa" / "slices").iterdir())[:6]:
        whole = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        for y in (96, 288):
            hr = whole[y : y + 192, 192:384]
            lr = hr.reshape(96, 2, 96, 2).mean(axis=(1, 3))
            soft = np.asarray(Image.fromarray(lr).resize((192, 192), Image.Resampling.BICUBIC))
            sr = soft + (hr - soft) / 4
            beyond = sr - sr.reshape(96, 2, 96, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
            images = {"bicubic": soft, "net": sr}
            crops.append(Crop(core="plug", slice=y, lr=lr, hr=hr, images=images, beyond={"net": beyond}))
    x = np.linspace(0.001, 0.5, 250)
    curves = tuple(Curve(name=str(i), x=x, y=np.exp(-x * i), low=np.exp(-x * i) / 2, high=x * i) for i in range(1, 5))
    charts = [Chart(title=str(i), x_label="x", y_label="y", curves=curves) for i in range(4)]
    found = summary(PROTOCOL, [score("bicubic", 30.0), score("net", 31.5)])
    write_page(tmp_path / "x.html", title="T", summary=found, crops=crops, charts=charts)
    assert len(crops) == 12
    assert (tmp_path / "x.html").stat().st_size < 1_500_000
