"""Aligned LR/HR patches of rock-core images, degraded exactly and split without leakage."""

__version__ = "0.1.0"
