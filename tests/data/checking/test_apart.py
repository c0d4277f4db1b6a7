"""Processes apart: every item is worked on once, and what hangs or dies costs only itself."""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from coresr_data.checking.apart import Lost, each_apart


def work(item: int) -> Iterator[int]:
    yield item
    if item == 3:
        time.sleep(100)
    if item == 5:
        os._exit(9)
    if item == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    yield 10 * item


@pytest.mark.parametrize("processes", [1, 2, 20])
def test_what_hangs_or_dies_is_lost_and_everything_else_is_done_once(processes: int) -> None:
    heard = defaultdict(list)
    before = time.monotonic()
    for item, message in each_apart(work, range(9), time_limit=0.3, processes=processes):
        heard[item].append(message)
    assert time.monotonic() - before < 3
    assert heard.pop(3) == [3, Lost("no answer in 0.3 s")]
    assert heard.pop(5) == [5, Lost("a process that ended with 9")]
    assert heard.pop(6) == [6, Lost("a process killed by signal 9")]
    assert heard == {item: [item, 10 * item] for item in (0, 1, 2, 4, 7, 8)}


def test_the_limit_is_of_one_message_not_of_an_item() -> None:
    def slow(item: int) -> Iterator[int]:
        for step in range(5):
            time.sleep(0.15)
            yield item + step

    assert [message for _, message in each_apart(slow, [0], time_limit=0.4, processes=1)] == [0, 1, 2, 3, 4]


def test_a_reader_that_takes_its_time_is_no_fault_of_the_process() -> None:
    heard = []
    for _, message in each_apart(work, [0, 1, 2], time_limit=0.2, processes=2):
        time.sleep(0.3)
        heard.append(message)
    assert sorted(map(str, heard)) == ["0", "0", "1", "10", "2", "20"]


def test_nothing_to_do_starts_nothing() -> None:
    assert list(each_apart(work, [], time_limit=1, processes=4)) == []


def test_no_process_is_left_behind_when_the_reader_stops() -> None:
    messages = each_apart(lambda item: [os.getpid()], range(50), time_limit=5, processes=2)
    processes = {message for _, (_, message) in zip(range(6), messages, strict=False)}
    messages.close()  # type: ignore[attr-defined]  # it is a generator
    assert processes
    for process in processes:
        assert isinstance(process, int)
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_no_process_outlives_a_reader_that_was_killed() -> None:
    seen, said = os.pipe()
    if (reader := os.fork()) == 0:
        for _, process in each_apart(lambda item: [os.getpid()], range(2), time_limit=60, processes=2):
            os.write(said, f"{process}\n".encode())
            time.sleep(20)
    with os.fdopen(seen) as lines:
        process = int(lines.readline())
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
    os.close(said)
    for _ in range(100):
        try:
            os.kill(process, 0)
            if Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":  # ended, and nobody asked how
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    pytest.fail("the process is still there")
