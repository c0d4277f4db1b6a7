"""Checkpoints on the Hugging Face Hub, or in a folder laid out as there. Needs the extra `coresr-models[hub]`.

A repository holds `model.safetensors`, a checkpoint of ours that rebuilds its network alone, `config.json` for the
Hub's own statistics, and `README.md`, the model card. Reading looks at `model.safetensors` only, through our own
pre-parser: nothing else in a repository is opened, and nothing is unpickled.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coresr_models.build import complete
from coresr_models.checkpoint import Checkpoint, load, save
from coresr_models.extras import MissingExtraError

try:
    from huggingface_hub import ModelCard, ModelCardData, PyTorchModelHubMixin, hf_hub_download
except ImportError as missing:
    raise MissingExtraError('this must have huggingface_hub, got none; pip install "coresr-models[hub]"') from missing

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TAGS = ["super-resolution", "image-to-image", "coresr", "digital-rock"]


class Published(PyTorchModelHubMixin):
    """A checkpoint with the Hub's `save_pretrained`, `from_pretrained` and `push_to_hub`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    @classmethod
    def from_pretrained(  # type: ignore[override]  # fewer options: the others belong to ways of reading that are shut
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> "Published":
        """Of a folder, where there is one of that name, or of a repository `user/name` on the Hub.

        FileNotFoundError without model.safetensors, else raises as `load` does.
        """
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir():
            return cls(load(folder / WEIGHTS))
        path = hf_hub_download(
            str(pretrained_model_name_or_path),
            WEIGHTS,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return cls(load(Path(path)))

    def _save_pretrained(self, save_directory: Path) -> None:
        """What the mixin's `save_pretrained` and `push_to_hub` call for the weights."""
        one = self.checkpoint
        save(save_directory / WEIGHTS, one.model, one.spec, one.provenance)
        text = json.dumps({"model_type": "coresr", **asdict(complete(one.spec))}, indent=2)
        (save_directory / CONFIG).write_text(text + "\n", encoding="utf-8")

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """What the file says of itself, as a page."""
        return ModelCard(f"---\n{self._card_data().to_yaml()}\n---\n\n{card(self.checkpoint)}")

    def _card_data(self) -> ModelCardData:
        licence = self.checkpoint.provenance.get("licence")
        return ModelCardData(
            library_name="coresr", pipeline_tag="image-to-image", tags=TAGS, license=licence and licence.lower()
        )


def card(checkpoint: Checkpoint) -> str:
    """The text of a model card, in Markdown."""
    spec, provenance = complete(checkpoint.spec), checkpoint.provenance
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    channels = spec.arguments["channels"]
    told = provenance.get("valid")
    scores = told if isinstance(told, dict) else {}
    lines = [
        f"# {spec.name} ×{checkpoint.model.scale} for rock-core images",
        "",
        f"Super-resolution by {checkpoint.model.scale}, for images in [0, 1]; channels: {channels}.",
        f"{parameters:,} parameters. LR sides are multiples of {checkpoint.model.multiple_of} pixels.",
        "",
        "```python",
        "from coresr_models.hub import Published",
        "",
        'network = Published.from_pretrained("user/name").checkpoint.model  # lr (b, c, h, w) to sr',
        "```",
        "",
        f"Licence of the weights: {_one_line(provenance.get('licence', 'not stated'))}.",
        "",
        *(f"Validation, {name}: {_one_line(json.dumps(value))}." for name, value in sorted(scores.items())),
        "",
        "## What the file says of itself",
        "",
        "```json",
        json.dumps({"model": asdict(spec), "provenance": provenance}, indent=1).replace("```", "'''"),
        "```",
        "",
    ]
    return "\n".join(lines)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
