"""Features of rock: a small network that learnt what sharp rock looks like from the HR patches of one data set.

For where no weights of photographs can be had. It knows the textures, the noise and the scanner of the slices that it
learnt from and nothing else, and nobody has compared its distances with what people see. It judges sharpness more than
content: in a shale, another place is nearer to HR than the same one shrunk by 4, and a shift of all grey levels costs a
tenth of what blur of the same L1 does. It needs L1 beside it.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from coresr_train.losses.eye import Eye, opened, shapes
from coresr_train.losses.weights import MissingWeightsError, from_file

WIDTHS = (16, 32, 64)


class RockFeatures(nn.Module):
    """Three stages, each of a convolution that halves the sides and one that does not.

    >>> [tuple(one.shape) for one in RockFeatures()(torch.zeros(1, 1, 32, 32))]
    [(1, 16, 16, 16), (1, 32, 8, 8), (1, 64, 4, 4)]
    """

    mean: Tensor
    """Of the grey levels in [0, 1] that it learnt from; kept with the weights, not used by `forward`, like the rest."""
    std: Tensor
    gains: Tensor
    """Of the three taps: their distances times these, summed, are L1 for what a shrinking by 2 takes from HR."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = 1
        for width in WIDTHS:
            # 4 pixels every 2: all pixels are seen equally often, and the gradient has no chequerboard
            halving = nn.Conv2d(channels, width, 4, stride=2, padding=1)
            looking = nn.Conv2d(width, width, 3, padding=1)
            stages.append(nn.Sequential(halving, nn.LeakyReLU(0.2), looking, nn.LeakyReLU(0.2)))
            channels = width
        self.stages = nn.ModuleList(stages)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))
        self.register_buffer("gains", torch.ones(len(WIDTHS)))

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> list[Tensor]:
        """Outputs of the stages for grey levels that are normalised already: 1/2, 1/4 and 1/8 of the size."""
        found: list[Tensor] = []
        x = image
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def rock(weights: str, device: torch.device) -> Eye:
    """The eye of a safetensors file that `learning.save_rock` wrote, for images of one channel.

    Its distance is of the order of L1 for what SR usually lacks, so that a weight of 1 is as much as L1's of 1; more
    for missing texture, less for noise. MissingWeightsError without a name, ValueError for the file of another network.
    """
    if not weights:
        raise MissingWeightsError(
            "features of rock must be learnt from HR patches first, got no file of them; make one by learn and "
            "save_rock of coresr_train.losses.learning, and name it by --loss.feature-weights"
        )
    with torch.device("meta"):  # nothing is drawn that the file replaces
        network = RockFeatures()
    network.load_state_dict(from_file(Path(weights), shapes(network)), assign=True)
    for name in ("std", "gains"):
        if not (getattr(network, name) > 0).all():
            raise ValueError(f"{name} must be above 0 in {weights}, got {getattr(network, name).tolist()}")
    return opened(network, device, network.mean.tolist(), network.std.tolist(), network.gains.tolist())
