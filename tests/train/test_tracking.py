import json
from pathlib import Path

import pytest

from coresr_train.tracking import append


def test_each_row_is_one_line_of_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, "train", {"step": 1, "loss": float("nan")})
    append(path, "valid", {"step": 1, "psnr": float("inf"), "note": "a\nb"})
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert rows == [
        {"kind": "train", "step": 1, "loss": None},
        {"kind": "valid", "step": 1, "psnr": None, "note": "a\nb"},
    ]
