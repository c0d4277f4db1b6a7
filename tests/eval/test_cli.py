"""coresr_eval.cli: the copy that stands alone says what coresr_data's says."""

import re
from pathlib import Path

import pytest

from coresr_eval import cli


def test_it_ends_as_the_command_line_of_the_data_package() -> None:
    data = pytest.importorskip("coresr_data.cli")
    texts = [Path(module.__file__ or "").read_text() for module in (cli, data)]
    one, other = (re.sub(r'\A""".*?"""', "", text, flags=re.DOTALL) for text in texts)
    assert one == other
