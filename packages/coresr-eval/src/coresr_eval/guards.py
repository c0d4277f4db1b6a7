"""Within which bounds may an image be measured as if it were HR? What lies outside is said in words.

PSNR and a sharp look do not show either: a network may move the grey level as a whole, and texture that it invents
may contradict what the LR says.
"""

LEVELS = 255
"""Grey levels of [0, 1], whatever the source had."""
DRIFT = 1 / LEVELS
"""Of mean grey, from HR: thresholds stand at whole levels of 8 bits, and from here on another one would be due."""
LR_PSNR = 38.0
"""dB of SR, degraded as its LR was, against it: 3.2 levels RMS.

On sections of a sandstone, two shales and a Bentheimer sandstone at ×2, 8 bits, bicubic reads 39.3 to 41.5, for it
blurs what LR shows and invents nothing; HR itself 55.8 to 57.5 and a trained `quick_x2` 61 to 68. That network's image
with texture of σ = 4 levels added reads 36.3 to 37.5 (grains of 2 to 4 HR pixels), moved by one HR pixel 28.6 to 33.7.
At ×3 and ×4 bicubic falls to 35.2, so that a network which is no better is flagged. What it cannot see: detail finer
than LR shows (`consistency.hallucination`), 57 to 62 dB when that of another place was put in.
LR noise of more than 3.2 levels that a network removes brings it below, too.
"""


def flags(*, drift: float, bicubic_drift: float, lr_psnr: float | None) -> list[str]:
    """What of an image is outside the bounds, one sentence each.

    `drift` is the mean of SR less that of HR in grey of [0, 1], `bicubic_drift` bicubic's of the same LR: a scan may be
    brighter than its HR, and only what goes beyond that, either way, is the model's. `lr_psnr` is in dB
    (`consistency.lr_psnr`), None where it is not known how LR was made. Numbers that are NaN are outside.

    >>> flags(drift=0.0, bicubic_drift=0.0, lr_psnr=55.0)
    []
    >>> flags(drift=-0.01, bicubic_drift=0.001, lr_psnr=None)
    ["mean grey drifts from HR's by −2.55 of 255 levels, bicubic's by +0.26: a threshold fixed on HR cuts other pores"]
    """
    found = []
    if not abs(drift) <= abs(bicubic_drift) + DRIFT:  # this way round for NaN
        found.append(
            f"mean grey drifts from HR's by {_levels(drift)} of {LEVELS} levels, bicubic's by "
            f"{_levels(bicubic_drift)}: a threshold fixed on HR cuts other pores"
        )
    if lr_psnr is not None and not lr_psnr >= LR_PSNR:
        found.append(
            f"degraded as LR was it matches LR with {lr_psnr:.1f} dB, less than {LR_PSNR:g}: it has invented, moved or "
            "lost structures that LR shows, or removed noise that LR holds"
        )
    return found


def _levels(drift: float) -> str:
    return f"{LEVELS * drift:+.2f}".replace("-", "−")
