"""Super-resolution networks for rock-core images, and checkpoints that rebuild themselves."""

from coresr_models.build import MODELS, Argument, ModelSpec, Network, build, complete
from coresr_models.checkpoint import Checkpoint, load, save
from coresr_models.edsr import EDSR
from coresr_models.unet import UNet

__version__ = "0.1.0"

__all__ = [
    "EDSR",
    "MODELS",
    "Argument",
    "Checkpoint",
    "ModelSpec",
    "Network",
    "UNet",
    "build",
    "complete",
    "load",
    "save",
]
