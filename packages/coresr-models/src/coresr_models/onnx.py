"""ONNX: the whole network as a graph for any size of image, compared with the network before it is handed over.

Needs the extra `coresr-models[onnx]`.
"""

import json
import logging
import warnings
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from coresr_models.build import complete
from coresr_models.checkpoint import Checkpoint
from coresr_models.extras import extra

TOLERANCE = 1e-4
"""Of the largest absolute output: two libraries round their sums differently."""


def checked_onnx(checkpoint: Checkpoint) -> tuple[bytes, list[str]]:
    """The graph of a network, and what its user must know; ValueError where onnxruntime answers otherwise.

    Input `lr` (batch, channels, height, width) and output `sr`, both float32; every axis but the channels is free.
    """
    runtime = extra("onnxruntime", "onnx")
    for needed in ("onnx", "onnxscript"):
        extra(needed, "onnx")
    network, multiple = checkpoint.model, checkpoint.model.multiple_of
    channels = int(complete(checkpoint.spec).arguments["channels"])
    data = _graph(checkpoint, torch.rand(2, channels, 4 * multiple, 6 * multiple))
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    worst = max(
        _difference(session, network, torch.rand(batch, channels, height * multiple, width * multiple))
        for batch, height, width in ((1, 3, 2), (3, 5, 7))
    )
    if not worst <= TOLERANCE:
        raise ValueError(f"the ONNX graph must answer as the network to {TOLERANCE}, got {worst:.1e}; do not use it")
    notes = [f"onnxruntime {runtime.__version__} answers as the network to {worst:.1e}, on two other sizes"]
    if multiple > 1:
        notes.append(f"height and width of lr must be multiples of {multiple}")
    return data, notes


def _graph(checkpoint: Checkpoint, lr: Tensor) -> bytes:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of a torchvision that nothing here needs
    free = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            checkpoint.model,
            (lr,),
            input_names=["lr"],
            output_names=["sr"],
            dynamic_shapes=(free,),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch's exporter must return a graph, got none")
    proto = program.model_proto
    about = {"schema": 1, "model": asdict(complete(checkpoint.spec)), "multiple_of": checkpoint.model.multiple_of}
    proto.metadata_props.add(key="coresr", value=json.dumps(about))
    data: bytes = proto.SerializeToString()
    return data


def _difference(session: Any, network: torch.nn.Module, lr: Tensor) -> float:
    with torch.no_grad():
        wanted = network(lr)
    (found,) = session.run(None, {"lr": lr.numpy()})
    return float((torch.from_numpy(found) - wanted).abs().max() / wanted.abs().max())
