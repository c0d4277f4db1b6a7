"""One training loop for every super-resolution recipe, launched by accelerate."""

__version__ = "0.1.0"
