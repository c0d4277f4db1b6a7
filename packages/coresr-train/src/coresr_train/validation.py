"""Is the network good yet? Whole slices under coresr-eval's protocol; what is saved of it, and when to stop."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from coresr_data import Store, whole_slices
from coresr_eval import Pair, Protocol, score, tiled
from coresr_eval.protocol import mean
from coresr_models import Network, save
from coresr_models.blocks import Bicubic
from coresr_train import config, tracking
from coresr_train.presets import Run
from coresr_train.stopping import Patience


class Judge:
    """Scores the averaged weights on the valid split, saves them, and says when to stop.

    The main process scores and writes; the others hear the scores, so that all of them stop alike.
    """

    def __init__(self, run: Run, preset: str, store: Store, network: Network, accelerator: Accelerator) -> None:
        self._run, self._preset, self._store, self._accelerator = run, preset, store, accelerator
        self._network = network
        manifest = store.manifest
        self._protocol = Protocol(
            scale=store.scale, shave=store.scale, degradation=manifest.degradation, grey=manifest.grey
        )
        self._patience = Patience(run.validation.patience, run.validation.min_delta)
        bicubic = Bicubic(scale=store.scale).to(accelerator.device)
        self._bicubic = self._scores(bicubic) if accelerator.is_main_process else {}
        self._best = ""

    def __call__(self, step: int, seconds: float) -> str:
        """Validate and save; the line to print."""
        heard: list[dict[str, float]] = [{}]
        if self._accelerator.is_main_process:
            heard = [self._scores(_upscaler(self._network.eval())) | {"step": step, "seconds": seconds}]
            heard[0]["gain_db"] = heard[0]["psnr"] - self._bicubic["psnr"]
        broadcast_object_list(heard)
        scores = heard[0]
        is_best = self._patience.is_best(scores[self._run.validation.metric])
        line = "step {step:.0f}: PSNR {psnr:.3f} dB ({gain_db:+.3f} over bicubic), SSIM {ssim:.4f}".format(**scores)
        if is_best:
            self._best = line
        if self._accelerator.is_main_process:
            self._save(scores, ["last", "best"] if is_best else ["last"])
        return "valid  " + line

    @property
    def patience_lost(self) -> bool:
        """Whether too many validations in a row brought no improvement."""
        return self._patience.lost

    @property
    def verdict(self) -> str:
        """The best validation, as a sentence."""
        return f"best   {self._best}"

    def _scores(self, upscale: Callable[[Tensor], Tensor]) -> dict[str, float]:
        device = self._accelerator.device
        pairs = (
            Pair(core=one.core, slice=one.number, lr=one.lr.to(device), hr=one.hr.to(device))
            for one in whole_slices(self._store, "valid", most=self._run.validation.slices)
        )
        found = [one.scores[0] for one in score({"": upscale}, pairs, self._protocol)]
        return {"psnr": mean(one.psnr for one in found), "ssim": mean(one.ssim for one in found)}

    def _save(self, scores: dict[str, float], names: list[str]) -> None:
        out, manifest = Path(self._run.out), self._store.manifest
        tracking.append(out / "metrics.jsonl", "valid", scores)
        provenance = {
            "preset": self._preset,
            "run": config.as_table(self._run),
            "data": {
                "sha256": self._store.sha256,
                "dtype": manifest.dtype,
                "window": list(manifest.window),
                "voxel_um": {core.name: core.voxel_um for core in manifest.cores},
                "split": manifest.split,
            },
            "protocol": asdict(self._protocol),
            "valid": {"model": tracking.finite(scores), "bicubic": tracking.finite(self._bicubic)},
            "machine": {
                "device": self._accelerator.device.type,
                "precision": self._accelerator.mixed_precision.replace("no", "fp32"),
                "processes": self._accelerator.num_processes,
                "threads": torch.get_num_threads(),
            },
            "versions": {name: version(name) for name in ("coresr-data", "coresr-models", "coresr-train", "torch")},
        }
        for name in names:
            save(out / f"{name}.safetensors", self._network, self._run.model, provenance)


def _upscaler(network: Network) -> Callable[[Tensor], Tensor]:
    return partial(
        tiled,
        network,
        scale=network.scale,
        multiple_of=network.multiple_of,
        receptive_field=network.receptive_field,
    )
