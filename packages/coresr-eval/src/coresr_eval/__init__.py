"""Honest scores for super-resolved rock-core images: float64 metrics, one protocol, one page."""

from coresr_eval.fidelity import mae, ms_ssim, psnr, ssim
from coresr_eval.inference import self_ensemble, tiled
from coresr_eval.protocol import Pair, Protocol, Score, Scored, score

__version__ = "0.4.0"

__all__ = ["Pair", "Protocol", "Score", "Scored", "mae", "ms_ssim", "psnr", "score", "self_ensemble", "ssim", "tiled"]
