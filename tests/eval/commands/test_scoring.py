"""`score MODEL MODEL … --data STORE`: several models in one pass, in one table."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("coresr_data")
pytest.importorskip("coresr_models")

from coresr_data import Store, prepare, whole_slices
from coresr_data.formats.images import write_slice
from coresr_eval.__main__ import main
from coresr_eval.cli import UsageError
from coresr_eval.commands import stores
from tests.eval.commands.running import saved
from tests.eval.commands.test_stores import rock


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two cores at two scales, two networks of ×2, one of ×4."""
    root = tmp_path_factory.mktemp("room")
    for c, core in enumerate(("chalk", "shale")):
        (root / "cores" / core).mkdir(parents=True)
        for z in range(3):
            write_slice(root / "cores" / core / f"{z}.png", rock(10 * c + z))
    prepare(root / "cores", root / "store", scale=(2, 4), split="none")
    prepare(root / "cores", root / "only2", scale=2, split="none")
    saved(root / "edsr.safetensors")
    saved(root / "unet.safetensors", "unet")
    saved(root / "large.safetensors", scale=4)
    return root


def scored(room: Path, out: Path, *words: str, store: str = "store") -> tuple[dict[str, Any], str]:
    models = [str(room / word) if word.endswith(".safetensors") and "=" not in word else word for word in words]
    main(["score", *models, "--data", str(room / store), "--split", "train", "--out", str(out)])
    return json.loads((out / "summary.json").read_text()), (out / "index.html").read_text()


def test_a_model_scores_the_same_in_company_and_alone(room: Path, tmp_path: Path) -> None:
    both, page = scored(room, tmp_path / "both", "unet.safetensors", "bicubic", "edsr.safetensors")
    assert [row["model"] for row in both["rows"]] == ["bicubic", "unet", "edsr"]
    for at, name in ((1, "unet"), (2, "edsr")):
        alone, _ = scored(room, tmp_path / name, f"{name}.safetensors")
        assert alone["rows"] == [both["rows"][0], both["rows"][at]]
        assert [both["per_core"]["shale"][i] for i in (0, at)] == alone["per_core"]["shale"]
        assert alone["fineness"][name] == both["fineness"][name]
        assert alone["pores"]["chalk"]["images"][name] == both["pores"]["chalk"]["images"][name]
        assert "comparison" not in alone
        assert f"{name} is {name} (" in page
    assert "unet and edsr on train of store" in page
    assert {row["model"] for row in both["comparison"]["rows"]} == {"bicubic", "unet", "edsr"}
    rows = (tmp_path / "both" / "scores.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == 6 * ["bicubic", "unet", "edsr"]


def test_the_slices_are_read_once_whatever_the_number_of_models(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(*arguments: Any, **more: Any) -> Iterator[Any]:
        for one in whole_slices(*arguments, **more):
            read.append((one.core, one.number))
            yield one

    monkeypatch.setattr(stores, "whole_slices", counted)
    scored(room, tmp_path, "unet.safetensors", "edsr.safetensors")
    assert read == [(core, z) for core in ("chalk", "shale") for z in range(3)]


def test_the_word_bicubic_needs_no_scale_beside_a_network(room: Path, tmp_path: Path) -> None:
    found, _ = scored(room, tmp_path / "out", "bicubic", "large.safetensors")
    assert found["protocol"]["scale"] == 4
    with pytest.raises(UsageError, match="scale must be given for bicubic"):
        scored(room, tmp_path / "none", "bicubic")


def test_models_of_other_scales_are_refused_with_a_remedy(room: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of one scale, got edsr of ×2, large of ×4; score those of each scale into"):
        scored(room, tmp_path / "out", "edsr.safetensors", "large.safetensors")
    with pytest.raises(ValueError, match=r"large\.safetensors must be of scale 2, got 4"):
        scored(room, tmp_path / "out", "edsr.safetensors", "large.safetensors", store="only2")
    assert not (tmp_path / "out").exists()


def test_models_of_one_name_are_refused_before_anything_is_read(room: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="models must have names of their own"):
        scored(room, tmp_path / "out", "a/best.safetensors", "b/best.safetensors", store="nowhere")
    named, _ = scored(room, tmp_path / "out", f"mine={room / 'edsr.safetensors'}", f"yours={room / 'unet.safetensors'}")
    assert [row["model"] for row in named["rows"]] == ["bicubic", "mine", "yours"]


def test_bicubic_alone_is_shown_once(room: Path, tmp_path: Path) -> None:
    _, page = scored(room, tmp_path, "bicubic", store="only2")
    assert "bicubic on train of only2" in page
    slices = page.count('<section class="crop">')
    assert [page.count(f'alt="{name} image of core') for name in ("LR", "bicubic", "HR")] == 3 * [slices]
    assert page.count("Difference of ") == slices == 4


def test_rocks_get_a_table_of_their_own(room: Path, tmp_path: Path) -> None:
    found, page = scored(room, tmp_path, "edsr.safetensors", "--rock", "soft=shale", "--rock", "hard=ch*")
    assert found["per_rock"] == {"soft": found["per_core"]["shale"], "hard": found["per_core"]["chalk"]}
    assert "Rock by rock" in page


def test_a_core_without_rock_is_refused_before_the_work(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "hr", None)
    with pytest.raises(UsageError, match="--rock must name the rock of every core, got none of 'shale'"):
        scored(room, tmp_path, "bicubic", "--rock", "a=chalk", store="only2")
