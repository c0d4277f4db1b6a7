"""What differs between trackers, behind Accelerate's own classes: where they keep a run, and how they take images."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, TrackioTracker, WandBTracker
from numpy.typing import NDArray

from coresr_train.settings import Run

Pictures: TypeAlias = Mapping[str, NDArray[np.uint8]]
"""Grey images (h, w) by caption."""
Plain: TypeAlias = bool | int | float | str
ANSWER_SECONDS = 2.0
"""A server that says nothing for so long at the start counts as unreachable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One tracker. All but `environment` is called in the tracker's own thread, and may raise anything."""

    start: Callable[[Run, str], Any]
    """The run, and what `identity` said of it before if it is resumed → Accelerate's tracker, started."""
    identity: Callable[[Any], str]
    config: Callable[[Any, dict[str, Plain], bool], None]
    """The tracker, what was set for the run, and whether the run is resumed: then it has the settings of its start."""
    images: Callable[[Any, int, Pictures], None]
    artefact: Callable[[Any, Path], None]
    finish: Callable[[Any, bool], None]
    """The tracker, and whether the run failed."""
    environment: Mapping[str, str | None]
    """Variables that hold while the run does, unless they are set; None: the library sets it itself."""


def _start_mlflow(run: Run, identity: str) -> MLflowTracker:
    import mlflow

    out, uri = Path(run.out).resolve(), run.tracking.uri
    if uri.startswith(("http://", "https://")):
        _answers(uri)
    mlflow.set_tracking_uri(uri or f"sqlite:///{out / 'mlflow.db'}")
    tracker = MLflowTracker(
        run.tracking.project,
        # a server knows where it keeps artefacts; without one they would go into the working folder
        logging_dir=None if uri else (out / "mlflow").as_uri(),
        run_id=identity or None,
        run_name=out.name,
    )
    tracker.start()
    return tracker


def _answers(uri: str) -> None:
    """Raise where a server does not answer soon; its refusal of an unknown page or person is an answer."""
    try:
        with urllib.request.urlopen(uri, timeout=ANSWER_SECONDS):  # noqa: S310  # http(s) alone comes here
            pass
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise


def _mlflow_images(_: MLflowTracker, step: int, pictures: Pictures) -> None:
    import mlflow

    for caption, picture in pictures.items():
        name = re.sub(r"[^\w .\-/]", "_", caption, flags=re.ASCII)  # it refuses others
        mlflow.log_image(picture, key=name, step=step, synchronous=True)


def _mlflow_artefact(_: MLflowTracker, path: Path) -> None:
    import mlflow

    mlflow.log_artifact(str(path))


def _finish_mlflow(_: MLflowTracker, failed: bool) -> None:
    import mlflow

    mlflow.end_run("FAILED" if failed else "FINISHED")


def _start_wandb(run: Run, identity: str) -> WandBTracker:
    import wandb

    out = Path(run.out).resolve()
    # paths, program arguments and the address of the repository are nobody's business
    settings = wandb.Settings(x_disable_meta=True)
    kept = {"id": identity, "resume": "allow"} if identity else {"id": uuid4().hex}
    tracker = WandBTracker(run.tracking.project, name=out.name, dir=str(out), settings=settings, **kept)
    tracker.start()
    return tracker


def _wandb_artefact(tracker: WandBTracker, path: Path) -> None:
    import wandb

    artefact = wandb.Artifact(f"{path.stem}-{tracker.tracker.id}", type="model")
    artefact.add_file(str(path))
    tracker.tracker.log_artifact(artefact)


def _start_tensorboard(run: Run, _: str) -> TensorBoardTracker:
    tracker = TensorBoardTracker("tensorboard", Path(run.out).resolve())
    tracker.start()
    return tracker


def _tensorboard_images(tracker: TensorBoardTracker, step: int, pictures: Pictures) -> None:
    rgb = {caption: np.repeat(picture[None, :, :, None], 3, axis=3) for caption, picture in pictures.items()}
    tracker.log_images(rgb, step=step, dataformats="NHWC")


def _start_trackio(run: Run, identity: str) -> TrackioTracker:
    name = identity or f"{Path(run.out).resolve().name}-{uuid4().hex[:8]}"
    tracker = TrackioTracker(run.tracking.project, name=name, resume="allow", auto_log_gpu=False, auto_log_cpu=False)
    tracker.start()
    return tracker


def _trackio_images(tracker: TrackioTracker, step: int, pictures: Pictures) -> None:
    import trackio

    tracker.log({name: trackio.Image(picture, caption=name) for name, picture in pictures.items()}, step=step)


def _trackio_artefact(_: TrackioTracker, path: Path) -> None:
    import trackio

    trackio.log_artifact(path, type="model")


def _config(tracker: GeneralTracker, values: dict[str, Plain], resumed: bool) -> None:
    if not resumed:  # MLflow lets no value be changed
        tracker.store_init_configuration(values)


def _trackio_config(tracker: TrackioTracker, values: dict[str, Plain], _: bool) -> None:
    # Accelerate's goes to a dictionary that trackio 0.43 never reads, and a resumed run forgets what it had
    tracker.tracker.config.update(values)


ADAPTERS = {
    "mlflow": Adapter(
        config=_config,
        start=_start_mlflow,
        identity=lambda tracker: str(tracker.tracker.info.run_id),
        images=_mlflow_images,
        artefact=_mlflow_artefact,
        finish=_finish_mlflow,
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # its own would take minutes; the courier tries again
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "MLFLOW_TRACKING_URI": None,
        },
    ),
    "tensorboard": Adapter(
        config=_config,
        start=_start_tensorboard,
        identity=lambda _: "tensorboard",
        images=_tensorboard_images,
        artefact=lambda tracker, path: tracker.log({"artefact": str(path.name)}),
        finish=lambda tracker, _: tracker.finish(),
        environment={},
    ),
    "trackio": Adapter(
        config=_trackio_config,
        start=_start_trackio,
        identity=lambda tracker: str(tracker.tracker.name),
        images=_trackio_images,
        artefact=_trackio_artefact,
        finish=lambda tracker, _: tracker.finish(),
        environment={},
    ),
    "wandb": Adapter(
        config=_config,
        start=_start_wandb,
        identity=lambda tracker: str(tracker.tracker.id),
        images=lambda tracker, step, pictures: tracker.log_images({k: [v] for k, v in pictures.items()}, step=step),
        artefact=_wandb_artefact,
        finish=lambda tracker, failed: tracker.tracker.finish(exit_code=int(failed)),
        environment={
            "WANDB_CONSOLE": "off",  # it would put itself between the run and its terminal
            "WANDB_FINISH_TIMEOUT": "8",
            "WANDB_INIT_TIMEOUT": "10",
            "WANDB_SERVICE": None,
            "WANDB_SILENT": "true",  # else it asks a terminal for a key, in the middle of a run
        },
    ),
}


def plain(values: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    """Nested values by dotted name, as every tracker takes them; no None, and no path tells of a person's home."""
    found: dict[str, Plain] = {}
    home = os.path.expanduser("~")  # noqa: PTH111  # pathlib's raises where there is none
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= plain(value, f"{prefix}{key}.")
        elif value is not None:
            kept = value if isinstance(value, bool | int | float | str) else json.dumps(value, default=str)
            found[f"{prefix}{key}"] = kept.replace(home, "~") if isinstance(kept, str) and len(home) > 1 else kept
    return found
