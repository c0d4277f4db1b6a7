import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from coresr_data import prepare
from coresr_data.formats.images import write_slice
from coresr_models import ModelSpec, build, complete, load, save
from coresr_train import checkpoints
from coresr_train.run import train
from coresr_train.settings import ConfigError, Data, Loss, Optim, Run
from coresr_train.stages import first_run, second_run, started


@pytest.fixture(scope="session")
def two_scales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scales")
    volume = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(5, 96, 96)), (1, 2, 2))
    (folder / "slices").mkdir()
    for number, image in enumerate(np.clip(128 + 60 * volume / volume.std(), 0, 255).astype(np.uint8)):
        write_slice(folder / "slices" / f"{number:04}.png", image)
    ranges = {"train": (0, 2), "valid": (3, 3), "test": (4, 4)}
    prepare(folder / "slices", folder / "store", scale=[2, 4], split=ranges, gap=0, accept_similar=True)
    return folder / "store"


@pytest.fixture
def run(two_scales: Path, tmp_path: Path) -> Run:
    spec = complete(ModelSpec(name="edsr", arguments={"scale": 4, "width": 8, "blocks": 1}))
    return Run(
        model=spec,
        data=Data(store=str(two_scales), patch=32, batch=4),
        loss=Loss(l1=1.0),
        optim=Optim(learning_rate=1e-3),
        out=str(tmp_path / "run"),
        steps=7,
        first_scale=2,
        precision="fp32",
    )


def test_each_scale_gets_half_of_the_length_and_the_first_a_higher_rate(run: Run) -> None:
    first, second = first_run(run, Path("out")), second_run(run, Path("out"))
    assert (first.steps, second.steps) == (4, 3)
    assert (first.model.arguments["scale"], second.model.arguments["scale"]) == (2, 4)
    assert (first.optim.learning_rate, second.optim.learning_rate) == (4e-3, 1e-3)
    assert (first.out, first.first_scale, second.start) == ("out/first", 0, "out/first/best.safetensors")
    seconds = replace(run, steps=None, budget_seconds=60.0)
    assert (first_run(seconds, Path()).budget_seconds, second_run(seconds, Path()).budget_seconds) == (30.0, 30.0)


def test_the_second_scale_starts_from_the_first_and_remembers_it(run: Run) -> None:
    out = train(run, "tiny")
    provenance = load(out / "best.safetensors").provenance
    digest = hashlib.sha256((out / "first" / "best.safetensors").read_bytes()).hexdigest()
    assert provenance["scale_lineage"] == [{"scale": 2, "sha256": digest}]
    assert provenance["transfer"]["origins"]["conv_first.weight"] == "copied"
    assert load(out / "first" / "best.safetensors").spec.arguments["scale"] == 2
    assert checkpoints.steps(out) == [3]
    assert checkpoints.steps(out / "first") == [4]


@pytest.mark.parametrize(("number", "where"), [(0, "first"), (1, ".")])
def test_stopped_at_either_scale_it_goes_on_to_the_same_end(
    number: int, where: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(replace(run, out=str(tmp_path / "whole"), save_every=2))
    real, seen = checkpoints.write, [0]

    def killed(out: Path, step: int, *rest: object) -> Path:
        folder = real(out, step, *rest)  # type: ignore[arg-type]  # passed on
        seen[0] += step == 2
        if step == 2 and seen[0] == number + 1:
            raise KeyboardInterrupt
        return folder

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoints, "write", killed)
        train(replace(run, save_every=2))
    assert checkpoints.steps(Path(run.out) / where) == [2]
    out = train(replace(run, save_every=2, resume="latest"))
    found, expected = (load(one / "last.safetensors").model.state_dict() for one in (out, whole))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_start_of_the_same_scale_is_taken_as_it_is(run: Run, tmp_path: Path) -> None:
    network = build(run.model)
    lineage = [{"scale": 2, "sha256": "0" * 64}]
    save(tmp_path / "w.safetensors", network, run.model, {"scale_lineage": lineage})
    found, origin = started(replace(run, start=str(tmp_path / "w.safetensors")))
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in found.state_dict().items())
    assert found.training
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert json.loads(json.dumps(origin)) == {"scale_lineage": [*lineage, {"scale": 4, "sha256": digest}]}


@pytest.mark.parametrize(
    ("arguments", "said"), [({"width": 16}, "or a smaller scale of it"), ({"scale": 8}, "of scale 4 or below")]
)
def test_another_network_is_no_start(arguments: dict[str, int], said: str, run: Run, tmp_path: Path) -> None:
    spec = replace(run.model, arguments={**run.model.arguments, **arguments})
    save(tmp_path / "w.safetensors", build(spec), spec, {})
    with pytest.raises(ConfigError, match=said):
        started(replace(run, start=str(tmp_path / "w.safetensors")))


def test_a_store_without_the_first_scale_is_refused_before_a_folder_is_made(run: Run, store: Path) -> None:
    wanted = replace(run, model=replace(run.model, arguments={**run.model.arguments, "scale": 2}), first_scale=1)
    with pytest.raises(ConfigError, match="scale must be the store's 2, got 1"):
        train(replace(wanted, data=replace(run.data, store=str(store))))
    assert not Path(run.out).exists()
