"""What tests of pages make pages of."""

from collections.abc import Callable
from typing import Any

import numpy as np

from coresr_eval.report import Chart, Curve
from coresr_eval.statistics import Comparison, compare

PROTOCOL: dict[str, object] = {"data_range": 1.0, "shave": 2, "ssim_window": 7}
Make = Callable[..., Any]


def chart(name: str) -> Chart:
    curves = (Curve(name=name, x=[1, 2, 3], y=[0, 1, 2]),)
    return Chart(title=name, x_label=name, y_label=name, curves=curves, marks=((2, name),), note=name, log_y=True)


def comparison(*names: str, cores: str = "abcd") -> Comparison:
    images = [(core, number) for core in cores for number in range(6)]
    rng = np.random.default_rng(0)
    base = rng.normal(30, 1, len(images))
    models = {
        name: (base + gain + rng.normal(0, 0.1, len(images)))[None] for gain, name in enumerate(("bicubic", *names))
    }
    return compare(models, images)
