"""Every Python block of every README runs, and the packages' versions and names are what they say."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("data", "models", "eval", "train")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_example_of_the_readme_runs(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "packages" / f"coresr-{package}" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, f"coresr-{package}/README.md", "exec"), {})  # noqa: S102 - our own README


@pytest.mark.parametrize("package", PACKAGES)
def test_the_newest_entry_of_the_changelog_is_the_version(package: str) -> None:
    version = importlib.import_module(f"coresr_{package}").__version__
    text = (ROOT / "packages" / f"coresr-{package}" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)[0] == version


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_are_there_and_sorted(package: str) -> None:
    module = importlib.import_module(f"coresr_{package}")
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_carries_the_licence(package: str) -> None:
    assert (ROOT / "packages" / f"coresr-{package}" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
