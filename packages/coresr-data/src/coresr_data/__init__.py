"""Aligned LR/HR patches of rock-core images, degraded exactly and split without leakage."""

from coresr_data.datasets import Degraded, Paired, Unpaired
from coresr_data.datasets.batches import StepBatches
from coresr_data.datasets.reading import WholeSlice, whole_slices
from coresr_data.intensity import Window, from_unit, to_unit
from coresr_data.packing import prepare
from coresr_data.resize import Separable, imresize, resizing
from coresr_data.store import Store, open_store

__version__ = "0.3.2"

__all__ = [
    "Degraded",
    "Paired",
    "Separable",
    "StepBatches",
    "Store",
    "Unpaired",
    "WholeSlice",
    "Window",
    "from_unit",
    "imresize",
    "open_store",
    "prepare",
    "resizing",
    "to_unit",
    "whole_slices",
]
