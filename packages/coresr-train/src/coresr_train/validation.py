"""Is the network good yet? Whole slices under coresr-eval's protocol; what is saved of it, and when to stop."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor

from coresr_data import Store, whole_slices
from coresr_eval import Pair, Protocol, tiled
from coresr_eval.guards import flags
from coresr_eval.protocol import scorable
from coresr_models import Network, save
from coresr_models.blocks import Bicubic
from coresr_models.checkpoint import write_whole
from coresr_train import measuring, tracking
from coresr_train.folder import BEST, METRICS
from coresr_train.settings import Run
from coresr_train.signals import Interrupts
from coresr_train.stopping import Patience
from coresr_train.tracking import Trackers


class Judge:
    """Scores the averaged weights on the valid split, saves them, and says when to stop.

    The main process scores and writes; the others hear the scores, so that all of them stop alike.
    """

    def __init__(
        self,
        run: Run,
        store: Store,
        network: Network,
        *,
        interrupts: Interrupts,
        trackers: Trackers,
        about: Mapping[str, Any],
    ) -> None:
        accelerator = interrupts.accelerator
        self._run, self._store, self._accelerator, self._interrupts = run, store, accelerator, interrupts
        self._network, self._trackers, self._about = network, trackers, about
        manifest = store.manifest
        self._protocol = Protocol(
            scale=store.scale, shave=store.scale, degradation=manifest.degradation, grey=manifest.grey
        )
        self._patience = Patience(run.validation.patience, run.validation.min_delta)
        self._skip = Bicubic(scale=store.scale).to(accelerator.device)
        self._paired = run.recipe != "cyclegan" or measuring.has_pairs(store)
        self._bicubic = (self._scores(self._skip) or {}) if accelerator.is_main_process else {}
        self._best = ""
        self._flags: list[str] = []
        self.best_step = 0
        """The step of the best validation so far."""

    def __call__(self, step: int, seconds: float) -> str | None:
        """Validate and save; the line to print, or None where the run was asked to stop meanwhile."""
        heard: list[dict[str, float] | None] = [None]
        if self._accelerator.is_main_process:
            scores = self._scores(_upscaler(self._network.eval()))
            if scores is not None:
                gain = {"gain_db": scores["psnr"] - self._bicubic["psnr"]} if "psnr" in scores else {}
                heard = [{"step": step, "seconds": seconds, **scores, **gain}]
        broadcast_object_list(heard)
        scores = heard[0]
        if scores is None:
            return None
        metric = self._run.validation.metric
        is_best = metric == "last" or self._patience.is_best(scores[metric])
        line = f"step {step}: {measuring.said(scores)}"
        if is_best:
            self._best, self.best_step, self._flags = line, step, self._flagged(scores)
        if self._accelerator.is_main_process:
            self._save(scores, ["last", "best"] if is_best else ["last"])
            self._trackers.scalars(step, {f"valid/{name}": value for name, value in scores.items() if name != "step"})
            self._trackers.images(step, self._panels())
        return "valid  " + line

    @property
    def patience_lost(self) -> bool:
        """Whether too many validations in a row brought no improvement."""
        return self._patience.lost

    @property
    def verdict(self) -> str:
        """The best validation, as a sentence, and what is not to be trusted in it."""
        return "\n".join([f"best   {self._best}", *(f"flag   {flag}" for flag in self._flags)])

    def state(self) -> dict[str, Any]:
        """What is best so far, and for how long nothing was better."""
        best = {"best": self._best, "best_step": self.best_step, "flags": self._flags}
        return {"metric": self._run.validation.metric, "patience": self._patience.state(), **best}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count on from there."""
        self._best, self.best_step, self._flags = str(state["best"]), int(state["best_step"]), list(state["flags"])
        if state["metric"] == self._run.validation.metric:
            self._patience.restore(state["patience"])
        if self._step_of_the_file() != self.best_step:
            self._patience.best = -math.inf  # the file is of steps that are taken back: the next one is better

    def _step_of_the_file(self) -> int:
        """Of which validation the best weights in the run folder are."""
        try:
            return int(json.loads((Path(self._run.out) / BEST).read_bytes())["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _scores(self, upscale: Callable[[Tensor], Tensor]) -> dict[str, float] | None:
        """Means over the slices; None where the run was asked to stop before the last of them."""
        if self._paired:
            found = measuring.against_hr(upscale, self._pairs(), self._protocol)
        else:
            found = measuring.without_hr(upscale, self._slices("lr"), self._slices("hr"), self._store.scale)
        return None if self._interrupts.asked else found

    def _flagged(self, scores: Mapping[str, float]) -> list[str]:
        """What the guards say; the main process alone knows bicubic's scores, and prints."""
        if not self._bicubic:
            return []
        base = self._bicubic
        return flags(
            drift=scores["drift"],
            bicubic_drift=base["drift"],
            lr_psnr=scores.get("lr_psnr") if self._paired else None,  # a scan's LR is not bicubic's
            bicubic_lr_psnr=base.get("lr_psnr"),
            reference="HR" if self._paired else "LR",
        )

    def _slices(self, image: Literal["lr", "hr"]) -> Iterator[Tensor]:
        for one in measuring.slices(self._store, image, most=self._run.validation.slices):
            if self._interrupts.asked:
                return
            yield one.to(self._accelerator.device)

    def _pairs(self) -> Iterator[Pair]:
        device = self._accelerator.device
        for one in whole_slices(self._store, "valid", most=self._run.validation.slices, operators=True):
            if self._interrupts.asked:
                return
            mask = None if one.mask is None else one.mask.to(device)
            if not scorable(mask, self._protocol):
                continue  # next to no rock on it
            yield Pair(
                core=one.core,
                slice=one.number,
                lr=one.lr.to(device),
                hr=one.hr.to(device),
                operator=None if one.operator is None else one.operator.forward,
                mask=mask,
            )

    def _panels(self) -> dict[str, NDArray[np.uint8]]:
        """LR by bicubic, SR and HR side by side, of as many slices as the trackers are to show."""
        wanted = self._run.tracking.images if self._run.tracking.to else 0
        upscale, panels = _upscaler(self._network.eval()), {}
        for name, lr, *others in islice(self._shown(), wanted):
            with torch.inference_mode():
                images = [self._skip(lr[None, None])[0, 0], upscale(lr[None, None])[0, 0], *others]
            panel = torch.cat(images, dim=1).clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
            panels[name] = panel.numpy()
        return panels

    def _shown(self) -> Iterator[tuple[str, Tensor] | tuple[str, Tensor, Tensor]]:
        """A name, LR, and HR where there is one."""
        if self._paired:
            yield from ((f"{pair.core} {pair.slice}: LR, SR, HR", pair.lr, pair.hr) for pair in self._pairs())
        else:
            yield from ((f"LR slice {number}: LR, SR", lr) for number, lr in enumerate(self._slices("lr")))

    def _save(self, scores: dict[str, float], names: list[str]) -> None:
        out, manifest = Path(self._run.out), self._store.manifest
        tracking.append(out / METRICS, "valid", scores)
        provenance = {
            **{key: self._about[key] for key in ("preset", "run", "lineage", "machine")},
            **self._about["origin"],
            "data": {
                "sha256": self._store.sha256,
                "dtype": manifest.dtype,
                "window": list(manifest.window),
                "voxel_um": {core.name: core.voxel_um for core in manifest.cores},
                "split": manifest.split,
            },
            "protocol": asdict(self._protocol),
            "valid": {
                "model": tracking.finite(scores),
                "bicubic": tracking.finite(self._bicubic),
                "flags": self._flagged(scores),
            },
            "versions": {name: version(name) for name in ("coresr-data", "coresr-models", "coresr-train", "torch")},
        }
        if "best" in names:  # said before it is so: after a crash between the two the file is written again
            write_whole(out / BEST, json.dumps(tracking.finite(scores)).encode() + b"\n")
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
