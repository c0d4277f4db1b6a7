"""coresr_eval.commands.naming: which model is which, and which rock a core is of."""

from pathlib import Path

import pytest

from coresr_eval.cli import UsageError
from coresr_eval.commands.naming import named, rocks_of, told_apart


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/width=3", "width=4", "a/seed", "b/seed"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net.safetensors", ("", "net.safetensors")),
        ("wide=runs/width=3", ("wide", "runs/width=3")),
        ("runs/width=3", ("", "runs/width=3")),
        ("runs/none=3", ("", "runs/none=3")),
        ("width=4", ("", "width=4")),
        ("width=5", ("width", "5")),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_name_stands_before_the_first_equals_sign_unless_that_is_a_place(
    text: str, expected: tuple[str, str]
) -> None:
    assert named(text) == expected


@pytest.mark.usefixtures("here")
def test_models_are_called_by_their_name_their_folder_or_their_file() -> None:
    found = told_apart(["bicubic", "a/seed", "other=b/seed", "x/net.safetensors", "."])
    assert found == {
        "seed": "a/seed",
        "other": "b/seed",
        "net": "x/net.safetensors",
        Path.cwd().name: ".",
    }
    assert told_apart(["bicubic"]) == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a/seed", "b/seed"], "names of their own, got 'seed' for a/seed and b/seed; write NAME=b/seed"),
        (["x=a/seed", "x=b/seed"], "names of their own, got 'x' for a/seed and b/seed"),
        (["x=a/seed", "y=a/../a/seed"], "each MODEL must be given once, got"),
        (["bicubic", "bicubic"], "each MODEL must be given once, got bicubic twice"),
        (["x=bicubic"], "bicubic must keep its name"),
        (["bicubic=a/seed"], "NAME must be a name other than bicubic"),
        (["=a/seed"], "NAME must be a name other than bicubic"),
    ],
)
@pytest.mark.usefixtures("here")
def test_models_that_could_be_taken_for_one_another_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        told_apart(texts)


@pytest.mark.parametrize("name", ["HR", "lr", "bicubic"])
def test_no_model_has_the_name_of_what_stands_beside_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"must not be named {name} like .*; rename it, or write NAME=results/{name}"):
        told_apart([f"results/{name}.safetensors"])
    assert told_apart([f"own=results/{name}.safetensors"])


CORES = ["berea-2", "berea-7", "c1", "c1"]


def test_rocks_are_in_the_order_of_the_user_and_a_pattern_names_several_cores() -> None:
    found = rocks_of(["coal=c1", "sandstone=berea-7,berea*"], CORES)
    assert list(found.items()) == [("c1", "coal"), ("berea-7", "sandstone"), ("berea-2", "sandstone")]
    assert rocks_of(["odd=[a]*b"], ["[a]*b"]) == {"[a]*b": "odd"}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["coal"], r"--rock must be NAME=CORE\[,CORE…\], got 'coal'"),
        (["=c1"], "--rock must be NAME=CORE"),
        (["coal=c2"], "--rock coal must name cores of the store, got 'c2'; its cores are berea-2, berea-7, c1$"),
        (["coal=c1"], "--rock must name the rock of every core, got none of 'berea-2'"),
        (["coal=*", "shale=c1"], "core 'c1' must be of one rock, got coal and shale"),
    ],
)
def test_cores_without_one_rock_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rocks_of(texts, CORES)


def test_many_cores_are_not_all_listed() -> None:
    with pytest.raises(UsageError, match="its cores are c0, .*, c7 …$"):
        rocks_of(["coal=x"], [f"c{at}" for at in range(9)])
