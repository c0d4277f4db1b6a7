import sys
import threading
import time
from collections.abc import Callable

import pytest

from coresr_train.tracking import courier
from coresr_train.tracking.courier import Courier


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "PAUSE", 0.01)
    monkeypatch.setattr(courier, "GRACE", 0.1)


def ended(one: Courier, seconds: float = 5.0) -> float:
    """Seconds that the end took."""
    began = time.monotonic()
    one.end()
    one.wait(began + seconds)
    return time.monotonic() - began


def fails(times: int, done: list[str], name: str) -> Callable[[], None]:
    left = [times]

    def job() -> None:
        if left[0]:
            left[0] -= 1
            raise ConnectionError(f"{name}\nfailed")
        done.append(name)

    return job


def test_jobs_are_done_in_order_after_the_start_and_all_before_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []

    def start() -> None:
        time.sleep(0.1)
        done.append(-1)

    one = Courier("fake", start)
    for number in range(100):
        one.post(lambda number=number: done.append(number))  # type: ignore[misc]  # bound now
    assert ended(one) < 2
    assert done == [-1, *range(100)]
    assert capfd.readouterr() == ("", "")


def test_what_failed_is_tried_again_and_an_outage_costs_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    one = Courier("fake", fails(5, done, "start"))
    one.post(fails(2, done, "first"))
    one.post(fails(0, done, "second"))
    while len(done) < 3:
        time.sleep(0.01)
    ended(one)
    assert done == ["start", "first", "second"]
    lines = capfd.readouterr().err.splitlines()
    said = "coresr: warning: tracker fake cannot be reached, ConnectionError: {} failed; metrics.jsonl has every record"
    assert lines == [said.format("start"), said.format("first")]


def test_a_record_that_a_tracker_cannot_take_does_not_stop_those_behind_it() -> None:
    done: list[str] = []
    one = Courier("fake", lambda: None)
    one.post(fails(courier.ATTEMPTS, done, "bad"))
    one.post(lambda: sys.exit(3))
    one.post(fails(0, done, "good"))
    while not done:
        time.sleep(0.01)
    ended(one)
    assert done == ["good"]


def test_a_tracker_that_hangs_drops_the_oldest_and_holds_the_end_up_no_longer_than_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(courier, "MOST_JOBS", 5)
    done, gate = [], threading.Event()
    one = Courier("fake", lambda: (gate.wait(), None)[1])
    for number in range(1000):
        one.post(lambda number=number: done.append(number))  # type: ignore[misc]  # bound now
    assert 0.3 <= ended(one, seconds=0.3) < 3
    assert "tracker fake cannot be reached, 6 records did not reach it in time" in capfd.readouterr().err
    gate.set()
    one.wait(time.monotonic() + 5)
    assert done == [995, 996, 997, 998, 999]


def test_pictures_that_wait_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MOST_BYTES", 100)
    done, gate = [], threading.Event()
    one = Courier("fake", lambda: (gate.wait(), None)[1])
    for number in range(10):
        one.post(lambda number=number: done.append(number), size=30)  # type: ignore[misc]  # bound now
    one.post(lambda: done.append(-1), size=1000)
    gate.set()
    ended(one)
    assert done == [-1]


def test_an_outage_holds_the_end_up_no_longer_than_the_grace() -> None:
    gate = threading.Event()
    failed: list[bool] = []

    def job() -> None:
        if not failed:
            failed.append(True)
            raise ConnectionError
        gate.wait()

    one = Courier("fake", lambda: None)
    one.post(job)
    while not failed:
        time.sleep(0.01)
    assert ended(one, seconds=10) < 5
    gate.set()


def test_why_a_tracker_could_not_be_started_is_known_after_the_first_attempt() -> None:
    done: list[str] = []
    one = Courier("fake", lambda: None)
    assert one.unreachable(5) == ""
    ended(one)
    one = Courier("fake", fails(10**6, done, "start"))
    assert one.unreachable(5) == "ConnectionError: start failed"
    ended(one)
    gate = threading.Event()
    one = Courier("fake", lambda: (gate.wait(), None)[1])
    assert one.unreachable(0.1) == "no answer within 0 s"
    gate.set()
    ended(one)
