"""Aligned LR/HR patches of rock-core images, degraded exactly and split without leakage."""

from coresr_data.datasets import Paired, StepBatches, WholeSlice, whole_slices
from coresr_data.intensity import Window, from_unit, to_unit
from coresr_data.layouts import prepare
from coresr_data.resize import Separable, imresize, resizing
from coresr_data.store import Store, open_store

__version__ = "0.1.0"

__all__ = [
    "Paired",
    "Separable",
    "StepBatches",
    "Store",
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
