"""Do what may hang or kill its process in processes apart, which can be ended."""

import multiprocessing
import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Lost:
    """What became of a process that did not finish its item."""

    reason: str


class _End:
    """Said after the last message of an item."""


@dataclass(slots=True)
class _Worker(Generic[T]):
    process: Any
    pipe: Connection
    items: list[T] = field(default_factory=list)
    """The one that it works on, or none."""
    deadline: float = 0.0


def each_apart(
    work: Callable[[T], Iterable[M]], items: Iterable[T], *, time_limit: float, processes: int
) -> Iterator[tuple[T, M | Lost]]:
    """Every message of `work(item)` for every item, as they come; items are begun in order.

    A process that says nothing for `time_limit` seconds is ended, and one that dies is replaced: the last message of
    its item is then `Lost`. `work` and its messages must be picklable where processes are not forked.
    """
    left = deque(items)
    workers = [_started(work) for _ in range(min(processes, len(left)))]
    try:
        while left or any(one.items for one in workers):
            for one in workers:
                if left and not one.items:
                    one.items.append(left.popleft())
                    one.pipe.send(one.items[0])
                    one.deadline = time.monotonic() + time_limit
            busy = {one.pipe: one for one in workers if one.items}
            first = min(one.deadline for one in busy.values())
            said = [busy[pipe] for pipe in wait(list(busy), max(0.0, first - time.monotonic())) if pipe in busy]
            late = [one for one in busy.values() if one not in said and time.monotonic() >= one.deadline]
            for one in said:
                message = _received(one)
                if isinstance(message, _End):
                    one.items.clear()
                    continue
                yield one.items[0], message
                one.deadline = time.monotonic() + time_limit
                if isinstance(message, Lost):
                    workers[workers.index(one)] = _started(work)
            for one in late:
                _ended(one)
                yield one.items[0], Lost(f"no answer in {time_limit:g} s")
                workers[workers.index(one)] = _started(work)
    finally:
        for one in workers:
            _ended(one)


def _started(work: Callable[[T], Iterable[M]]) -> _Worker[T]:
    fork = "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if fork else None)
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(work, there, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # threads that hold a lock in the middle of a fork: the child only decodes files, and a lock is a time limit
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    there.close()
    return _Worker(process, here)


def _serve(work: Callable[[T], Iterable[M]], pipe: Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process, and the parent ends this one
    while os.getppid() == parent:  # a parent that was killed cannot say so: others hold its end of the pipe
        if pipe.poll(1.0):
            for message in work(pipe.recv()):
                pipe.send(message)
            pipe.send(_End())


def _received(worker: _Worker[Any]) -> Any:
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        _ended(worker)
        return Lost(f"a process killed by signal {-code}" if code < 0 else f"a process that ended with {code}")


def _ended(worker: _Worker[Any]) -> None:
    worker.process.kill()
    worker.process.join()
    worker.process.close()
    worker.pipe.close()
