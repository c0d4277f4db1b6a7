"""`list` says of every network what it weighs and costs, and where it is from."""

import json
import re

import pytest

from coresr_models.__main__ import main
from coresr_models.build import MODELS
from coresr_models.cli import UsageError, run
from coresr_models.commands.listing import paper


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    main(["list", "--json", *arguments])
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_every_network_is_a_line_with_its_paper(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "parameters", "GMACs", "paper"]
    assert [line.split()[0] for line in lines] == list(MODELS)
    assert all(re.search(r" [\d,]+ +[\d.]+  .+\d{4}, arXiv \d{4}\.\d{4,5}$", line) for line in lines)
    assert "1280×720 HR, ×2, 1 channels" in last


@pytest.mark.parametrize("name", MODELS)
def test_every_network_names_a_paper(name: str) -> None:
    assert re.fullmatch(r".+ \d{4}, arXiv \d{4}\.\d{4,5}", paper(name))


def test_figures_are_those_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--channels", "3", "--scale", "4", "--set", "global_residual=none"]
    (edsr,) = listed(capsys, "edsr", *settings)
    assert (edsr["name"], edsr["parameters"]) == ("edsr", 1_517_571)
    assert round(int(str(edsr["macs"])) / 1e9) == 114
    (wide,) = listed(capsys, "edsr", *settings, "--set", "width=256", "--set", "blocks=32")
    assert round(int(str(wide["macs"])) / 1e9) == 2895


def test_the_size_is_that_of_the_hr_image(capsys: pytest.CaptureFixture[str]) -> None:
    (small,), (large,) = (listed(capsys, "edsr", "--size", size) for size in ("64x32", "128x64"))
    assert 4 * int(str(small["macs"])) == large["macs"]


def test_fvcore_can_be_asked_too(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fvcore")
    small = ["--set", "width=6", "--set", "blocks=1"]
    assert listed(capsys, "edsr", *small, "--check") == listed(capsys, "edsr", *small)


def test_a_network_that_refuses_the_scale_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "--scale", "5", "--json"])
    said = capsys.readouterr()
    assert "edsr is left out: scale must be 1, 3 or a power of 2" in said.err
    names = {one["name"] for one in json.loads(said.out)}
    assert "edsr" not in names
    assert "unet" in names
    with pytest.raises(ValueError, match="power of 2"):
        main(["list", "edsr", "--scale", "5"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["spam"], "NAME must be one of cyclegan, edsr"),
        (["edsr", "--size", "12"], "argument --size: must be WIDTHxHEIGHT in pixels, got"),
        (["edsr", "--scale", "0"], "argument --scale: must be a whole number of 1 or more, got 0"),
        (["edsr", "--channels", "-1"], "argument --channels: must be a whole number of 1 or more, got -1"),
        (["edsr", "--size", "0x5"], "argument --size: must be WIDTHxHEIGHT in pixels, got"),
        (["edsr", "--set", "width"], "--set must be NAME=VALUE, got width"),
        (["edsr", "--set", "widht=3"], "--set must name an argument of edsr, got widht=3"),
        (["edsr", "--set", "width=broad"], "width must be of type int, got broad"),
        (["span", "--set", "merged=yes"], "merged must be true or false, got yes"),
    ],
)
def test_a_command_that_cannot_be_meant_ends_with_64(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: main(["list", *arguments]))
    assert ended.value.code == UsageError.exit_code == 64
    assert why in capsys.readouterr().err
