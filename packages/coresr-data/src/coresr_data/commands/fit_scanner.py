"""`fit-scanner LR HR`: what blur, grey match and noise turn HR into LR, for `prepare --degradation scanner.json`."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coresr_data.cli import Commands, UsageError, whole
from coresr_data.commands.opening import add_opening, add_window
from coresr_data.fitting.fitted import ScannerFit, save_fit
from coresr_data.intensity import default_window
from coresr_data.volume import AXES, Levels, Volume, Voxel

MOST_VOXELS = 2**24
"""Of HR, to fit on: half a minute."""
FAR = 0.25
"""LR pixels."""


def add(commands: Commands) -> None:
    """Declare the command."""
    fit = commands.add_parser("fit-scanner", help="estimate the blur and noise of a real LR/HR pair")
    fit.add_argument("lr", type=Path, metavar="LR", help="the low-resolution scan, in any format that prepare reads")
    fit.add_argument("hr", type=Path, metavar="HR", help="the high-resolution scan of the same rock, registered")
    fit.add_argument("--scale", type=whole(2), required=True, help="HR size over LR size")
    fit.add_argument("--axis", choices=AXES, default="z", help="the axis that slices are taken along (default z)")
    add_window(fit, "grey levels that become 0 and 1 (default: the dtype's range)")
    fit.add_argument("--out", type=Path, required=True, metavar="JSON", help="the new file to write, scanner.json")
    add_opening(fit, several=True)
    fit.set_defaults(command=_fit)


def _fit(options: Namespace) -> None:
    from coresr_data.fitting import fit_scanner

    if options.out.suffix != ".json":
        raise UsageError(f"out must end in .json, as prepare --degradation knows it, got {options.out}")
    if options.out.exists():
        raise FileExistsError(f"out must be a new file, got {options.out}; remove it or name another")
    lr, hr = _pair(options)
    window = options.window
    for volume in (lr, hr) if window is None else ():
        default_window(volume.dtype)  # refuses those whose range nobody can know, before the work
    low, high, said = middle(lr, hr, options.scale)
    along = AXES.index(options.axis)
    low, high = (np.moveaxis(levels, along, 0) for levels in (low, high))
    fit = fit_scanner(low, high, scale=options.scale, window=window)
    save_fit(fit, options.out)
    order = [along, *(axis for axis in range(3) if axis != along)]
    voxel = hr.voxel_um and (hr.voxel_um[order[0]], hr.voxel_um[order[1]], hr.voxel_um[order[2]])
    report(fit, fitted_on=said, voxel_um=voxel)
    print(f"wrote      {options.out}; use it: prepare SLICES STORE --scale {fit.scale} --degradation {options.out}")


def _pair(options: Namespace) -> tuple[Volume, Volume]:
    """LR and HR, each with the header or the name of its array where it needs one."""
    from coresr_data.formats import NAMED, kind_of, open_volume

    paths = [path for path in (options.lr, options.hr) if path.exists()]
    kinds = {path: kind_of(path) for path in paths}
    raw = [path for path in paths if kinds[path] in {None, "raw"}]
    headers = options.raw or []
    if headers and len(headers) != len(raw):
        raise UsageError(
            f"--raw must be said once for each raw file, got {len(headers)} for {len(raw)}; LR comes first"
        )
    header = dict(zip(raw, headers, strict=False))
    lr, hr = (
        open_volume(path, raw=header.get(path), variable=options.variable if kinds.get(path) in NAMED else None)
        for path in (options.lr, options.hr)
    )
    return lr, hr


def middle(lr: Volume, hr: Volume, scale: int, *, most: int = MOST_VOXELS) -> tuple[Levels, Levels, str]:
    """LR and HR levels of the middle of a pair, at most so many HR voxels, and which part of LR that is, in words.

    ValueError where the sizes do not pair.
    """
    deep = len(hr) == scale * len(lr)
    size = (len(lr), *lr.size)
    if hr.size != tuple(scale * n for n in lr.size) or not (deep or len(hr) == len(lr)):
        raise ValueError(
            f"HR must be {scale} times LR within a slice, and as many slices or {scale} times as many, got LR "
            f"{_by(size)} in {lr.source(0)} and HR {_by((len(hr), *hr.size))} in {hr.source(0)}; "
            "crop them, or name the right scale"
        )
    wanted = list(size)
    while np.prod(wanted) * scale ** (3 if deep else 2) > most:
        longest = int(np.argmax(wanted))
        wanted[longest] = (wanted[longest] + 1) // 2
    first = [(n - w) // 2 for n, w in zip(size, wanted, strict=True)]
    low = _block(lr, first, wanted)
    by = [scale if deep else 1, scale, scale]
    high = _block(hr, [b * f for b, f in zip(by, first, strict=True)], [b * w for b, w in zip(by, wanted, strict=True)])
    return low, high, _by(size) if wanted == list(size) else f"the middle {_by(wanted)} of {_by(size)}"


def _block(volume: Volume, first: list[int], size: list[int]) -> Levels:
    (z, y, x), (n, height, width) = first, size
    return np.stack([volume[i][y : y + height, x : x + width] for i in range(z, z + n)])


def _by(size: tuple[int, ...] | list[int]) -> str:
    return "×".join(map(str, size))


def report(fit: ScannerFit, *, fitted_on: str, voxel_um: Voxel | None = None) -> None:
    """Print the figures, and how much better than bicubic they explain the LR that they were not fitted to.

    `voxel_um` is HR's, along the axes as fitted.
    """
    letters = "zyx"[-len(fit.sigma) :]
    deep = f", {fit.scale} HR slices to one of LR" if len(fit.sigma) == 3 else ""
    length = ""
    if voxel_um is not None:
        sides = voxel_um[-len(fit.sigma) :]
        length = " = " + _each(letters, [s * um for s, um in zip(fit.sigma, sides, strict=True)], ".1f") + " µm"
    far = max(map(abs, fit.shift))
    moved = "; align the pair before training on its own LR" if far > FAR else ""
    noise = f"std {fit.noise.gaussian:.4f}"
    if fit.noise.poisson:
        noise = f"variance {fit.noise.gaussian:.4f}² + {fit.noise.poisson:.2e} · signal"
    depth = "" if fit.correlation_z is None else f" and {fit.correlation_z:.2f} slices"
    print(f"pair       ×{fit.scale}, {fitted_on} LR{deep}; {fit.held_out} held out to judge on")
    print(f"PSF        Gaussian, σ {_each(letters, fit.sigma, '.2f')} HR pixels{length}, then bins")
    print(f"shift      {_each(letters, fit.shift, '+.2f')} LR pixels{moved}")
    print(
        f"grey       LR = {fit.gain:.3f} · HR {fit.offset:+.4f} on [0, 1], "
        + ("and LR made without it does not match" if fit.grey_needed else "hardly different from HR's own")
    )
    print(f"noise      {noise} on [0, 1], smooth over {fit.noise.correlation:.2f} pixels{depth}")
    print("LR made by                         PSNR    residual std   explained   spectrum off by")
    for name, match in (
        ("bicubic", fit.bicubic),
        ("bicubic, shift and grey matched", fit.bicubic_matched),
        ("fit", fit.fit),
        ("fit with its noise drawn", fit.fit_with_noise),
    ):
        print(
            f"  {name:<31}  {match.psnr:5.2f} dB  {match.residual_std:.4f}  {match.explained:15.1%}"
            f"{match.spectrum_db:15.1f} dB"
        )
    print(f"the PSF explains {fit.gain_db:+.1f} dB more than bicubic at its best")


def _each(letters: str, numbers: Sequence[float], form: str) -> str:
    return ", ".join(f"{letter} {number:{form}}" for letter, number in zip(letters, numbers, strict=True))
