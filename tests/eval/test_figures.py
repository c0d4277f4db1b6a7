"""coresr_eval.figures: the charts say what the analysis holds."""

import numpy as np

from coresr_eval.analysis import AGREES, Analysis
from coresr_eval.figures import CORES, MODELS, charts, drawn
from coresr_eval.grounds import ground
from tests.eval.test_analysis import rock, scored


def analysis(cores: int) -> Analysis:
    made = Analysis({f"core{c}": ground([rock(c)]) for c in range(cores)})
    for c in range(cores):
        made.add(scored(rock(c), core=f"core{c}"))
    return made


def test_there_is_a_chart_of_power_one_of_agreement_and_one_of_each_cores_pores() -> None:
    power, agreement, *pores = charts(analysis(2), 2)
    assert [curve.name for curve in power.curves] == ["HR", "bicubic", "perfect"]
    assert [curve.name for curve in agreement.curves][:-1] == ["bicubic", "perfect"]
    np.testing.assert_array_equal(agreement.curves[-1].y, AGREES)
    assert [chart.title for chart in pores] == [f"Porosity of core{c} against the threshold" for c in range(2)]
    assert [curve.name for curve in pores[0].curves] == ["HR", "LR", "bicubic", "perfect"]
    assert power.marks == agreement.marks == ((0.25, "the finest LR can hold"),)


def test_the_note_under_a_chart_of_pores_gives_its_ranges() -> None:
    found = analysis(1)
    hr = found.pores()["core0"]["hr"]
    assert f"HR {hr.low:.3f}–{hr.high:.3f}, LR " in charts(found, 2)[2].note


def test_of_many_cores_some_are_drawn() -> None:
    assert len(charts(analysis(CORES + 2), 2)) == 2 + CORES


def test_nothing_is_drawn_of_nothing() -> None:
    assert charts(Analysis({}), 2) == []


def test_of_many_models_the_first_are_drawn_and_all_that_is_no_model() -> None:
    names = [f"m{i}" for i in range(MODELS + 2)]
    found = drawn(dict.fromkeys(["lr", "hr", "bicubic", *names]))
    assert list(found) == ["lr", "hr", "bicubic", *names[:MODELS]]
