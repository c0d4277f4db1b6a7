import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from coresr_eval.report import write_comparison
from coresr_eval.report.comparing import amount, counted, forest, sentences
from coresr_eval.statistics import Comparison, Difference, Row
from coresr_eval.statistics.comparison import Verdict
from tests.eval.report.making import PROTOCOL, Make
from tests.eval.report.making import comparison as made


def row(model: str, gain: float, half: float = 0.1) -> Row:
    return Row(
        model=model,
        runs=1,
        n=24,
        mean=30 + gain,
        low=29 + gain,
        high=31 + gain,
        gain=gain,
        gain_low=gain - half,
        gain_high=gain + half,
        letters="a",
    )


def pair(one: str, other: str, verdict: str, difference: float = 0.5, half: float = 0.1) -> Difference:
    return Difference(
        one=one,
        other=other,
        difference=difference,
        low=difference - half,
        high=difference + half,
        core_low=0.0,
        core_high=0.0,
        p=0.5,
        p_holm=0.5,
        verdict=cast("Verdict", verdict),
        about="these recipes",
    )


def comparison(rows: list[Row], pairs: list[Difference], **more: Any) -> Comparison:
    made = Comparison(
        metric="psnr",
        unit="dB",
        higher_is_better=True,
        level=0.95,
        margin=0.05,
        n=24,
        cores=("a", "b"),
        rows=tuple(rows),
        pairs=tuple(pairs),
        notes=(),
    )
    return replace(made, **more)


def texts(*pairs: Difference, **more: Any) -> list[str]:
    names = dict.fromkeys(name for one in pairs for name in (one.one, one.other))
    return [said["text"] for said in sentences(comparison([row(name, 0.0) for name in names], list(pairs), **more))]


def test_models_that_cannot_be_told_apart_are_said_to_be_so_with_what_is_still_possible() -> None:
    on = "cannot be told apart on these 24 slices of 2 cores"
    (text,) = texts(pair("A", "B", "not distinguishable", 0.05, 0.15))
    assert text == f"A and B {on}: A may be anything from 0.10 dB worse to 0.20 dB better."
    (text,) = texts(pair("A", "B", "not distinguishable", 0.3, math.inf))
    assert text == f"A and B {on}, too few to say how far apart they may be."
    (text,) = texts(pair("A", "B", "not distinguishable", 0.3, 0.1), pair("B", "C", "different"))
    assert text.startswith(f"A and B {on}: A may be better by 0.20 dB to 0.40 dB, but among 2 pairs chance alone")


def test_where_less_is_better_the_first_is_still_the_better_one() -> None:
    mae: dict[str, Any] = {"metric": "mae", "unit": "", "higher_is_better": False}
    (text,) = texts(pair("A", "B", "not distinguishable", -0.01, 0.015), **mae)
    assert text.endswith("A may be anything from 0.0050 worse to 0.0250 better.")
    (text,) = texts(pair("A", "B", "different", -0.01, 0.001), **mae)
    assert text.startswith("A is better than B by 0.0100: ")


@pytest.mark.parametrize(("higher", "said"), [(True, "more is better"), (False, "less is better")])
def test_the_page_says_which_is_better_even_where_all_means_are_equal(tmp_path: Path, higher: bool, said: str) -> None:
    rows = [row("A", 0.0), row("bicubic", 0.0, 0.0)]
    equal = comparison(rows, [pair("A", "bicubic", "equivalent", 0.0)], higher_is_better=higher)
    write_comparison(tmp_path / "x.html", equal, title="T", protocol={"scale": 2})
    text = (tmp_path / "x.html").read_text()
    assert said in text
    assert ("gain over bicubic" in text) == higher


def test_the_page_corrects_for_pairs_only_where_there_are_several(tmp_path: Path) -> None:
    rows, pairs = [row("A", 1.0), row("bicubic", 0.0, 0.0)], [pair("A", "bicubic", "different")]
    for times, said in ((1, "p needs no correction, for there is one pair;"), (3, "corrected for all 3 pairs (Holm);")):
        write_comparison(tmp_path / "x.html", comparison(rows, times * pairs), title="T", protocol={"scale": 2})
        assert said in (tmp_path / "x.html").read_text()


def test_the_best_is_compared_with_all_and_bicubic_with_whom_it_is_not_beaten_by() -> None:
    pairs = [
        pair("A", "B", "equivalent", 0.01, 0.01),
        pair("A", "C", "different", 0.5),
        pair("A", "bicubic", "different", 1.0),
        pair("A", "D", "different", 2.0),
        pair("B", "C", "different"),
        pair("B", "bicubic", "different"),
        pair("B", "D", "different"),
        pair("C", "bicubic", "not distinguishable", 0.1, 0.2),
        pair("C", "D", "different"),
        pair("bicubic", "D", "different", 0.25),
    ]
    on = "on these 24 slices of 2 cores"
    assert texts(*pairs) == [
        f"A and B are as good as each other: {on} they differ by less than 0.05 dB, too little to matter.",
        f"A is better than C by 0.50 dB, bicubic by 1.00 dB and D by 2.00 dB: more than chance explains {on}.",
        f"bicubic is better than D by 0.25 dB: more than chance explains {on}.",
        f"C and bicubic cannot be told apart {on}: C may be anything from 0.10 dB worse to 0.30 dB better.",
    ]


def test_several_that_are_as_good_as_the_best_are_one_sentence() -> None:
    pairs = [pair("A", "B", "equivalent", 0.0), pair("A", "C", "equivalent", 0.01), pair("B", "C", "equivalent", 0.01)]
    on = "on these 24 slices of 2 cores"
    assert texts(*pairs) == [
        f"B and C are each as good as A: {on} the two differ by less than 0.05 dB, too little to matter."
    ]
    as_good = [pair("A", "B", "different"), pair("A", "bicubic", "different"), pair("B", "bicubic", "equivalent", 0.0)]
    assert texts(*as_good)[-1].startswith(f"B and bicubic are as good as each other: {on} they differ by less than")


def test_images_and_amounts_are_counted_as_a_geologist_does() -> None:
    one = comparison([row("bicubic", 0.0)], [])
    assert counted(one) == "these 24 slices of 2 cores"
    assert counted(replace(one, cores=("a",))) == "these 24 slices"
    assert counted(replace(one, cores=("a",), n=1)) == "this one slice"
    assert amount(0.126, one) == "0.13 dB"
    assert amount(0.126, replace(one, unit="")) == "0.1260"


def test_dots_and_intervals_stand_where_the_ticks_say() -> None:
    rows = [row("A", 1.5, 0.25), row("bicubic", 0.0, 0.0), row("B", -0.5, 0.1)]
    plot = cast("dict[str, Any]", forest(comparison(rows, [])))
    ticks = {tick["value"]: tick["at"] for tick in plot["ticks"]}
    assert list(ticks) == [-0.5, 0.0, 0.5, 1.0, 1.5]
    unit = ticks[1.0] - ticks[0.0]
    assert plot["zero"] == ticks[0.0]
    for place, given in zip(plot["rows"], rows, strict=True):
        for name, value in (("dot", given.gain), ("low", given.gain_low), ("high", given.gain_high)):
            assert place[name] == pytest.approx(ticks[0.0] + value * unit, abs=0.01)
            assert 0 < place[name] < 100
    assert plot["digits"] == 1


def test_an_interval_without_end_reaches_the_edges() -> None:
    plot = cast("dict[str, Any]", forest(comparison([row("A", 1.5, math.inf), row("bicubic", 0.0, 0.0)], [])))
    assert (plot["rows"][0]["low"], plot["rows"][0]["high"]) == (0.0, 100.0)
    assert 0 < plot["zero"] < plot["rows"][0]["dot"] < 100


@pytest.mark.parametrize(("gain", "digits"), [(0.0, 1), (1e-4, 5), (40.0, 0), (0.2, 2)])
def test_the_scale_has_at_least_two_numbers_and_tells_them_apart(gain: float, digits: int) -> None:
    plot = cast("dict[str, Any]", forest(comparison([row("A", gain, 0.0)], [])))
    assert plot["digits"] == digits
    told = [f"{tick['value']:.{digits}f}" for tick in plot["ticks"]]
    assert len(told) == len(set(told)) >= 2


def test_a_comparison_is_told_in_words_as_dots_and_pair_by_pair(tmp_path: Path, parsed: Make) -> None:
    compared = made("net", "other")
    write_comparison(tmp_path / "x", compared, title="Three", protocol=PROTOCOL, notes=["mine"])
    found = parsed(tmp_path / "x")
    assert "other is better than net by" in found.line
    assert [tag for tag, _ in found.tags].count("circle") == 3
    row = compared.rows[0]
    assert f"{row.gain:+.2f} {row.gain_low:+.2f} to {row.gain_high:+.2f} {row.mean:.2f}" in found.line
    first = compared.pairs[0]
    assert f"{first.one} {first.other} {first.verdict} {first.about} {first.difference:+.2f}" in found.line
    assert all(note in found.line for note in (*compared.notes, "mine"))
    assert found.line.endswith("loads nothing and runs no script.")


def test_a_comparison_says_whether_more_or_less_is_better(tmp_path: Path, parsed: Make) -> None:
    compared = made("net")
    write_comparison(tmp_path / "x", compared, title="T", protocol=PROTOCOL)
    text = parsed(tmp_path / "x").line
    assert "PSNR over these 24 slices of 4 cores, the best first: more is better. Dots are gains over bicubic" in text
    turned = replace(compared, rows=compared.rows[::-1], metric="mae", unit="", higher_is_better=False)
    write_comparison(tmp_path / "x", turned, title="T", protocol=PROTOCOL)
    text = parsed(tmp_path / "x").line
    assert "MAE over these 24 slices of 4 cores, the best first: less is better. Dots are differences from" in text
    assert "model letters minus bicubic difference mean runs" in text
