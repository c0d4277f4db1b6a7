import math

import pytest

from coresr_eval.report.words import decimals, in_levels, percent, unmarked


def test_numbers_are_told_with_a_minus_an_infinity_and_a_dash() -> None:
    assert [decimals(value, 2) for value in (1.234, -1.2, math.inf, "-inf", None)] == ["1.23", "−1.20", "∞", "−∞", "–"]
    assert decimals(1.2, 1, signed=True) == "+1.2"
    assert in_levels(None, 2) == "–"
    assert in_levels(-2 / 255, 2, signed=True) == "−2.00"
    assert [percent(share) for share in (0.95, 0.999, 0.29)] == ["95 %", "99.9 %", "29 %"]


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert decimals(-0.004, 2) == decimals(0.004, 2, signed=True) == "0.00"
    assert decimals(-0.006, 2) == "−0.01"
    assert decimals(-0.0, 0, signed=True) == "0"


@pytest.mark.parametrize("sign", "#$&*<>@[\\]_`{|}~")
def test_no_sign_of_markdown_in_a_name_means_anything(sign: str) -> None:
    assert unmarked(f"a{sign}b") == f"a\\{sign}b"


def test_addresses_in_names_become_no_links_and_sentences_stay_legible() -> None:
    assert unmarked("http://a.b WWW.a.b") == "http\\://a.b WWW\\.a.b"
    assert unmarked("Off by +1.5 dB: (so - what?)!") == "Off by +1.5 dB: (so - what?)!"
