"""What happens between the steps: log, validate, save, and see when to stop."""

from collections.abc import Iterable, Iterator

from coresr_train.length import Length
from coresr_train.loop import Step
from coresr_train.progress import Progress
from coresr_train.saving import Saving
from coresr_train.signals import Interrupts
from coresr_train.validation import Judge


def follow(
    steps: Iterable[Step],
    *,
    first_step: int,
    unvalidated: bool,
    validate_every: int,
    judge: Judge,
    length: Length,
    progress: Progress,
    saving: Saving,
    interrupts: Interrupts,
) -> bool:
    """Follow the steps to the end of the run; whether a signal ended it before, with everything saved.

    A validation that a signal cuts short is made when the run goes on, which has then `unvalidated` steps behind it.
    Every process decides alike.
    """
    if unvalidated:
        line = judge(first_step, length.elapsed)
        if line is None:
            return True
        progress.said(line)
    if first_step and _ended(first_step, judge, length):
        return False
    for step in _watched(steps, progress):
        over = length.over(step.number)
        progress.step(step, last=over)
        asked = interrupts.agreed()
        unvalidated = over or step.number % validate_every == 0
        if unvalidated and not asked:
            line = judge(step.number, length.elapsed)
            unvalidated = asked = line is None
            if line:
                progress.said(line)
        over = over or judge.patience_lost
        if asked or over or saving.due(step.number):
            saving(step.number, best=judge.best_step, unvalidated=unvalidated)
        if asked:
            return True
        if over:
            return False
    return False


def _watched(steps: Iterable[Step], progress: Progress) -> Iterator[Step]:
    try:
        yield from steps
    except FloatingPointError:
        progress.not_finite()
        raise


def _ended(step: int, judge: Judge, length: Length) -> bool:
    """Whether a run that is resumed after `step` steps has none left."""
    length.total(step)
    return judge.patience_lost or length.over(step)
