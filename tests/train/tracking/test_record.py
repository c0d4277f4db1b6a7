import json
import os
from pathlib import Path

import pytest

from coresr_train.tracking import append, rows, truncate


def written(path: Path) -> bytes:
    for step in (10, 20, 30):
        append(path, "train", {"step": step, "loss": 1 / step})
        append(path, "valid", {"step": step, "note": "µ\n"})
    return path.read_bytes()


def steps(path: Path) -> list[int]:
    return [row["step"] for row in rows(path)]


def test_each_row_is_one_line_of_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, "train", {"step": 1, "loss": float("nan")})
    append(path, "valid", {"step": 1, "psnr": float("inf"), "note": "a\nb"})
    found = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert found == [
        {"kind": "train", "step": 1, "loss": None},
        {"kind": "valid", "step": 1, "psnr": None, "note": "a\nb"},
    ]
    assert rows(path) == found


def test_a_file_cut_at_any_byte_reads_as_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = written(path)
    everything = rows(path)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        finished = (whole[:cut] + b"\n").count(b"}\n")  # a line that lacks nothing but its end is whole
        assert rows(path) == everything[:finished]


def test_a_file_cut_at_any_byte_and_truncated_takes_new_rows_as_if_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = written(path)
    kept = [line for line in whole.splitlines(keepends=True) if json.loads(line)["step"] <= 20]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        truncate(path, after=20)
        cut_rows = (whole[:cut] + b"\n").count(b"}\n")
        assert path.read_bytes() == b"".join(kept[:cut_rows])
        append(path, "train", {"step": 21})
        assert rows(path)[-1] == {"kind": "train", "step": 21}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("bad", [b'{"kind": "train", "st', b"\0\0\0", b"12", b"", b"\xff\xfe"])
def test_a_bad_line_before_the_last_is_named_and_the_file_stays(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = written(path).split(b"\n")
    lines.insert(2, bad)
    path.write_bytes(b"\n".join(lines))
    for reader in (rows, lambda path: truncate(path, after=0)):
        with pytest.raises(ValueError, match="metrics.jsonl line 3 must be a JSON object, got .*; remove that line"):
            reader(path)
    assert path.read_bytes() == b"\n".join(lines)


@pytest.mark.parametrize("torn", [b"\0\0\0", b"12\n", b"\xff\n", b"{"])
def test_a_bad_last_line_is_dropped_with_and_without_its_end(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = written(path)
    path.write_bytes(whole + torn)
    assert len(rows(path)) == 6
    truncate(path, after=40)
    assert path.read_bytes() == whole


def test_rows_without_a_step_stay_and_a_missing_file_is_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    truncate(path, after=3)
    assert not path.exists()
    append(path, "event", {"what": "resumed"})
    append(path, "train", {"step": 4})
    truncate(path, after=3)
    assert rows(path) == [{"kind": "event", "what": "resumed"}]
    truncate(path, after=3)
    path.write_bytes(b"")
    truncate(path, after=3)
    assert path.read_bytes() == b""
    assert rows(path) == []


def test_writes_that_take_a_part_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "metrics.jsonl", os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:3]))
    whole = written(path)
    truncate(path, after=30)
    monkeypatch.undo()
    assert whole.endswith(b"}\n")
    assert steps(path) == [10, 10, 20, 20, 30, 30]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_crash_while_truncating_leaves_the_old_file_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "metrics.jsonl"
    old = written(path)
    kept = b"".join(line for line in old.splitlines(keepends=True) if json.loads(line)["step"] <= 20)
    calls = 0
    while path.read_bytes() == old:
        calls += 1
        left, genuine = calls, getattr(os, call)

        def crash(*arguments: object, genuine: object = genuine) -> object:
            nonlocal left
            left -= 1
            if not left:
                raise OSError(5, "crash")
            assert callable(genuine)
            return genuine(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, crash)
            try:
                truncate(path, after=20)
            except OSError:
                assert path.read_bytes() in (old, kept)
    truncate(path, after=20)
    assert path.read_bytes() == kept
    assert calls > 1


def test_the_new_content_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "metrics.jsonl", []
    written(path)
    for call in ("write", "fsync", "replace"):

        def noted(*arguments: object, call: str = call, genuine: object = getattr(os, call)) -> object:
            order.append(call)
            assert callable(genuine)
            return genuine(*arguments)

        monkeypatch.setattr(os, call, noted)
    truncate(path, after=20)
    assert order == ["write", "fsync", "replace", "fsync"]


def test_rows_that_will_be_made_again_go_at_the_last_step_too(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path)
    truncate(path, after=20, again="valid")
    assert [(row["step"], row["kind"]) for row in rows(path)] == [(10, "train"), (10, "valid"), (20, "train")]
