"""Which differences between models are real: intervals, tests, corrections for many pairs, letters."""

from coresr_eval.statistics.comparison import Comparison, Difference, Row, Verdict
from coresr_eval.statistics.multiplicity import holm, letters
from coresr_eval.statistics.resampling import bootstrap, sign_flip
from coresr_eval.statistics.verdicts import BASELINE, compare

__all__ = [
    "BASELINE",
    "Comparison",
    "Difference",
    "Row",
    "Verdict",
    "bootstrap",
    "compare",
    "holm",
    "letters",
    "sign_flip",
]
