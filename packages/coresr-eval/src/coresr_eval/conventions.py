"""How papers and programs take PSNR and SSIM: as plain fields of a `Protocol`, so that their numbers can be compared.

The same image scores differently by each. A grey image's Y is 16 + 219 grey of 255: all errors shrink by 219 / 255, and
**a paper's Y-channel PSNR is 20 log10(255 / 219) = 1.322 dB higher than PSNR on the grey levels**, for nothing. Hold a
table of this house against a paper only after scoring again under the paper's convention.

| name | levels | SSIM window | border | of |
| --- | --- | --- | --- | --- |
| `coresr` | raw | Gaussian 7 (5), σ 1.5 | inside | this house |
| `y_channel` | 8 bits, then Y, 8 bits again | Gaussian 11, σ 1.5 | inside | papers, by MATLAB's `rgb2ycbcr` |
| `basicsr` | 8 bits | Gaussian 11, σ 1.5 | inside | BasicSR's `calculate_psnr`, `calculate_ssim` on grey |
| `basicsr_pt` | raw | Gaussian 11, σ 1.5 | inside | their `_pt` variants, which add 1e-8 to the MSE: 80 dB at most |
| `matlab` | 8 bits | Gaussian 11, σ 1.5 | inside | Wang's `ssim_index.m` and PSNR of `uint8` |
| `scikit_image` | raw | uniform 7, sample covariance | inside | `skimage.metrics` as they come |
| `torchmetrics` | raw | Gaussian 11, σ 1.5 | mirrored | its functions with `data_range=1.0` |

The PSNR of BasicSR with `test_y_channel` is that of `basicsr` and 1.322 dB exactly: it does not round Y. MATLAB's own
`ssim` (other borders) and Wang's later `ssim.m` (images shrunk first from 384 pixels on) are not here. `shave` and
pooling are no part of a convention: papers mostly shave the scale, and torchmetrics pools a batch's squared errors.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from coresr_eval.protocol import Protocol

_FIELDS: dict[str, Any] = {
    "data_range": 1.0,
    "quantise": False,
    "luma": False,
    "psnr_epsilon": 0.0,
    "ssim_window": 7,
    "ssim_small_window": 5,
    "ssim_sigma": 1.5,
    "ssim_border": "valid",
    "ssim_covariance": "population",
}
_WANG: dict[str, Any] = {**_FIELDS, "ssim_window": 11, "ssim_small_window": 11}
_EIGHT_BITS: dict[str, Any] = {**_WANG, "data_range": 255.0, "quantise": True}
CONVENTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "coresr": _FIELDS,
        "y_channel": {**_EIGHT_BITS, "luma": True},
        "basicsr": _EIGHT_BITS,
        "basicsr_pt": {**_WANG, "psnr_epsilon": 1e-8},
        "matlab": _EIGHT_BITS,
        "scikit_image": {**_FIELDS, "ssim_small_window": 7, "ssim_sigma": None, "ssim_covariance": "sample"},
        "torchmetrics": {**_WANG, "ssim_border": "reflect"},
    }
)
"""Every convention by name, as the fields that it sets in a `Protocol`."""
_EIGHT_BIT_GREY = re.compile(r"uint8, 0(\.0)? → 0, 255(\.0)? → 1")


def under(protocol: Protocol, convention: str) -> Protocol:
    """The protocol with the fields of a convention of the table above.

    Raises ValueError for a name that is not there, and for 8 bits where the grey levels are not those of 8 bits: what a
    16-bit scan knows beyond them would be rounded away, and the number would be no paper's either.

    >>> protocol = Protocol(scale=2, shave=2, degradation="bicubic", grey="uint8, 0 → 0, 255 → 1")
    >>> under(protocol, "basicsr").ssim_window
    11
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
    fields = CONVENTIONS[convention]
    if fields["quantise"] and not _EIGHT_BIT_GREY.fullmatch(protocol.grey):
        raise ValueError(
            f"grey levels must be uint8, 0 → 0, 255 → 1 under {convention}, which rounds to 8 bits, "
            f"got {protocol.grey}; score under coresr, or under basicsr_pt, which rounds nothing"
        )
    return replace(protocol, convention=convention, **fields)
