import os
import subprocess
import sys
from pathlib import Path

import pytest


def coresr_train(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coresr_train", *arguments],
        cwd=cwd,
        env={**os.environ, "CORESR_TRACEBACK": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("quick_x9", 78, "did you mean quick_x"),
        ("quick_x2 --data.pach 96", 78, "did you mean data.patch"),
        ("quick_x2 --data.store nowhere", 66, "store must be a folder with dataset.json, got nowhere"),
    ],
)
def test_a_wrong_command_ends_with_one_line_and_its_code(arguments: str, code: int, said: str, tmp_path: Path) -> None:
    ended = coresr_train(*arguments.split(), cwd=tmp_path)
    assert ended.returncode == code
    assert said in ended.stderr
    assert ended.stderr.startswith("coresr: error: ")
    assert len(ended.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
