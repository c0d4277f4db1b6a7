"""The Hub's three methods, offline: a folder comes back equal, and nothing but our own file is ever read."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("huggingface_hub")

import huggingface_hub

from coresr_models import ModelSpec, build
from coresr_models.checkpoint import Checkpoint
from coresr_models.header import UnsafeFileError
from coresr_models.hub import Published, card
from tests.models.hostile import FORMS, payload

SPEC = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})
PROVENANCE: dict[str, Any] = {
    "licence": "CC-BY-4.0",
    "valid": {"model": {"psnr": 31.5}, "bicubic": {"psnr": 30.0}},
    "note": "a fence ``` and a\nline",
}


@pytest.fixture
def published() -> Published:
    """A small checkpoint."""
    return Published(Checkpoint(model=build(SPEC).eval(), spec=SPEC, provenance=PROVENANCE))


def test_a_folder_comes_back_equal(published: Published, tmp_path: Path) -> None:
    published.save_pretrained(tmp_path / "one")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"README.md", "config.json", "model.safetensors"}
    again = Published.from_pretrained(tmp_path / "one").checkpoint
    assert again.provenance == PROVENANCE
    assert again.spec.arguments["width"] == 4
    lr = torch.rand(1, 1, 5, 6)
    assert torch.equal(again.model(lr), published.checkpoint.model(lr))


def test_a_normalised_network_comes_back_equal(tmp_path: Path) -> None:
    spec = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1}, mean=0.4, std=0.2)
    network = build(spec).eval()
    Published(Checkpoint(model=network, spec=spec, provenance={})).save_pretrained(tmp_path)
    again = Published.from_pretrained(tmp_path).checkpoint
    assert (again.spec.mean, again.spec.std) == (0.4, 0.2)
    lr = torch.rand(1, 1, 5, 6)
    assert torch.equal(again.model(lr), network(lr))
    assert '"mean": 0.4' in (tmp_path / "README.md").read_text()
    assert '"std": 0.2' in (tmp_path / "config.json").read_text()


def test_the_card_says_what_the_file_says(published: Published, tmp_path: Path) -> None:
    published.save_pretrained(tmp_path)
    page = huggingface_hub.ModelCard.load(tmp_path / "README.md")
    about, text = page.data.to_dict(), page.text
    assert (about["license"], about["library_name"], about["pipeline_tag"]) == ("cc-by-4.0", "coresr", "image-to-image")
    assert "# edsr ×2 for rock-core images" in text
    assert "Licence of the weights: CC-BY-4.0." in text
    assert 'Validation, model: {"psnr": 31.5}.' in text
    assert text.count("```") == 4  # what is told cannot close the block that it is told in
    odd = card(Checkpoint(model=published.checkpoint.model, spec=SPEC, provenance={"valid": "good"}))
    assert "Validation" not in odd
    silent = card(Checkpoint(model=published.checkpoint.model, spec=SPEC, provenance={}))
    assert "Licence of the weights: not stated." in silent


@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_in_a_repository_is_never_run(form: str, tmp_path: Path, published: Published) -> None:
    published.save_pretrained(tmp_path / "one")
    for name in ("pytorch_model.bin", "model.pth"):
        (tmp_path / "one" / name).write_bytes(payload(form, tmp_path / "ran"))
    Published.from_pretrained(tmp_path / "one")
    (tmp_path / "one" / "model.safetensors").write_bytes(payload(form, tmp_path / "ran"))
    with pytest.raises(UnsafeFileError):
        Published.from_pretrained(tmp_path / "one")
    (tmp_path / "one" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors, which is not there"):
        Published.from_pretrained(tmp_path / "one")
    assert not (tmp_path / "ran").exists()


def test_a_repository_gives_our_one_file_alone(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.save_pretrained(tmp_path / "one")
    asked: list[tuple[Any, ...]] = []

    def fetch(*names: str, **options: Any) -> str:
        asked.append((*names, options["revision"], options["local_files_only"]))
        return str(tmp_path / "one" / "model.safetensors")

    monkeypatch.setattr("coresr_models.hub.hf_hub_download", fetch)
    again = Published.from_pretrained("rocks/edsr", revision="v1", local_files_only=True)
    assert asked == [("rocks/edsr", "model.safetensors", "v1", True)]
    assert again.checkpoint.provenance == PROVENANCE


def test_what_is_not_there_offline_says_so(tmp_path: Path) -> None:
    with pytest.raises(huggingface_hub.errors.LocalEntryNotFoundError):
        Published.from_pretrained("rocks/none", cache_dir=tmp_path, local_files_only=True)


def test_a_push_uploads_the_folder(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    class Repository:
        repo_id = "rocks/edsr"

    def upload(_self: Any, **options: Any) -> str:
        sent.update(options, files={path.name for path in Path(options["folder_path"]).iterdir()})
        return "https://hub/commit"

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda *_, **__: Repository())
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    assert published.push_to_hub("rocks/edsr", commit_message="First") == "https://hub/commit"
    assert sent["files"] == {"README.md", "config.json", "model.safetensors"}
    assert (sent["repo_id"], sent["commit_message"]) == ("rocks/edsr", "First")
