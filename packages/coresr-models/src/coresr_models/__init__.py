"""Super-resolution networks for rock-core images, and checkpoints that rebuild themselves."""

__version__ = "0.1.0"
