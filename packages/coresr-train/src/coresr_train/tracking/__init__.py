"""Where a run is told of: `metrics.jsonl` in its folder, always, and the trackers that its settings name."""

from coresr_train.tracking.record import append, finite, rows, truncate
from coresr_train.tracking.trackers import TrackerError, Trackers, refuse_missing

__all__ = ["TrackerError", "Trackers", "append", "finite", "refuse_missing", "rows", "truncate"]
