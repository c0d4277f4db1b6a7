"""Super-resolution networks for rock-core images, and checkpoints that rebuild themselves."""

from coresr_models.build import MODELS, Argument, ModelSpec, Network, Normalised, build, complete
from coresr_models.checkpoint import Checkpoint, load, save
from coresr_models.cyclegan import Down, Up
from coresr_models.discriminators import CRITICS, build_critic
from coresr_models.edsr import EDSR
from coresr_models.interpolate import interpolated
from coresr_models.nafnet import NAFNet
from coresr_models.plksr import PLKSR, RealPLKSR
from coresr_models.rcan import RCAN
from coresr_models.rrdbnet import RRDBNet
from coresr_models.span import SPAN, merge
from coresr_models.srcnn import SRCNN
from coresr_models.swinir import SwinIR
from coresr_models.transfer import Transferred, transfer
from coresr_models.unet import UNet

__version__ = "0.2.2"

__all__ = [
    "CRITICS",
    "EDSR",
    "MODELS",
    "PLKSR",
    "RCAN",
    "SPAN",
    "SRCNN",
    "Argument",
    "Checkpoint",
    "Down",
    "ModelSpec",
    "NAFNet",
    "Network",
    "Normalised",
    "RRDBNet",
    "RealPLKSR",
    "SwinIR",
    "Transferred",
    "UNet",
    "Up",
    "build",
    "build_critic",
    "complete",
    "interpolated",
    "load",
    "merge",
    "save",
    "transfer",
]
