"""The command line ends in one line, and is the same as that of coresr-data."""

import re
from pathlib import Path

import pytest

from coresr_models import cli
from coresr_models.extras import MissingExtraError, extra


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError("x"), 66),
        (FileExistsError("x"), 73),
        (PermissionError("x"), 73),
        (OSError("x"), 74),
        (ValueError("x"), 65),
        (cli.UsageError("x"), 64),
        (MissingExtraError("x"), 69),
    ],
)
def test_each_error_has_its_code_and_one_line(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == code
    assert capsys.readouterr().err == "coresr: error: x\n"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    def main() -> None:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        cli.run(main)


def test_both_packages_end_alike() -> None:
    data = pytest.importorskip("coresr_data.cli")
    texts = [Path(module.__file__ or "").read_text() for module in (cli, data)]
    one, other = (re.sub(r'\A""".*?"""', "", text, flags=re.DOTALL) for text in texts)
    assert one == other


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(
        MissingExtraError, match=r'must have no_such\.library, got none; pip install "coresr-models\[macs\]"'
    ):
        extra("no_such.library", "macs")
