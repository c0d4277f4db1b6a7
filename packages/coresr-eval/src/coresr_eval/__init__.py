"""Honest scores for super-resolved rock-core images: fp32 metrics, one protocol, one page."""

__version__ = "0.1.0"
