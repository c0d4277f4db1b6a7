"""One training loop for every super-resolution recipe, launched by accelerate."""

from coresr_train.loop import Step, fit
from coresr_train.presets import PRESETS, Run
from coresr_train.recipe import Phase, Recipe
from coresr_train.run import train

__version__ = "0.2.1"

__all__ = ["PRESETS", "Phase", "Recipe", "Run", "Step", "fit", "train"]
