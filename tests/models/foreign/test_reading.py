"""Foreign files: tensors come out, code never runs, and limits hold."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from coresr_models import unpickle
from coresr_models.foreign.reading import read_foreign
from coresr_models.header import UnsafeFileError
from tests.models.hostile import payload

STATE = {"conv.weight": torch.arange(6.0).reshape(1, 2, 3), "n": torch.tensor(3)}


def saved(path: Path, content: object, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"params": STATE},
        {"params": {"other": torch.zeros(1)}, "params_ema": STATE},
        {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
        {"whatever": {"params": STATE}},
    ],
    ids=["bare", "params", "params_ema first", "state_dict and module.", "a single key"],
)
def test_wrappers_and_common_prefixes_are_taken_off(content: object) -> None:
    found = unpickle.flat(unpickle.unwrapped(content))
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize(
    "content",
    [3, [], {}, {"a": 3}, {3: torch.zeros(1)}, {"a": torch.zeros(2, 2).to_sparse()}, {"params": {"a": "b"}}],
    ids=repr,
)
def test_what_is_more_than_tensors_is_refused(content: object) -> None:
    with pytest.raises(unpickle.MoreThanTensorsError):
        unpickle.flat(unpickle.unwrapped(content))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tensors_come_out_of_both_forms_of_torch(tmp_path: Path, zipped: bool) -> None:
    shared = torch.arange(10.0)
    content = {
        **STATE,
        "view": shared[2:6],
        "whole": shared,
        "turned": torch.ones(2, 3).t(),
        "half": torch.ones(2).half(),
    }
    found = read_foreign(saved(tmp_path / "m.pth", {"params": content}, zipped=zipped))
    assert found.keys() == content.keys()
    for name, tensor in content.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_safetensors_of_others_are_read_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("no pickle is there to be read"))
    safetensors.torch.save_file(STATE, tmp_path / "m.safetensors")
    assert read_foreign(tmp_path / "m.safetensors").keys() == STATE.keys()


def test_what_a_payload_asks_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(payload("eval", tmp_path / "ran"))
    with pytest.raises(UnsafeFileError, match=r"m\.pth must hold tensors alone, got a call of eval; ask its author"):
        read_foreign(tmp_path / "m.pth")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_file_is_told_from_an_unsafe_one(tmp_path: Path) -> None:
    whole = saved(tmp_path / "m.pth", STATE).read_bytes()
    (tmp_path / "m.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"m\.pth must be a whole file of torch, got .*; copy it again") as caught:
        read_foreign(tmp_path / "m.pth")
    assert not isinstance(caught.value, UnsafeFileError)
    with pytest.raises(FileNotFoundError, match="which is not there"):
        read_foreign(tmp_path / "none.pth")


def test_a_small_file_that_says_it_is_enormous_ends_early(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be a whole file of torch, got 1000000000000 elements"):
        read_foreign(saved(tmp_path / "m.pth", {"a": torch.zeros(1).expand(1_000_000, 1_000_000)}))


def test_names_that_no_network_has_are_refused_on_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a tensor named '\.\./x'"):
        read_foreign(saved(tmp_path / "m.pth", {"../x": torch.zeros(1)}))


def test_a_script_is_refused_before_torch_sees_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
        archive.writestr("m/code/__torch__.py", "")
    with pytest.raises(unpickle.MoreThanTensorsError, match="TorchScript"):
        unpickle.refuse_programs(tmp_path / "m.pth")


def inside(code: str, *, out: str = "/nowhere") -> str:
    """What Python says of `code` behind the shut doors."""
    program = f"import sys; sys.path.insert(0, {str(Path(unpickle.__file__).parent)!r})\nfrom pathlib import Path\n"
    program += f"import socket, subprocess, os, unpickle\nunpickle.shut_the_doors(Path({out!r}))\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.socket().bind(('', 0))",
        "subprocess.run(['true'])",
        "os.system('true')",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.fork()",
        "open('more', 'w')",
        "open('more', 'ab')",
        "os.open('more', os.O_CREAT | os.O_WRONLY)",
        "os.remove('more')",
    ],
)
def test_behind_the_shut_doors_nothing_can_be_called_or_written(code: str) -> None:
    assert "is refused while a foreign file is read" in inside(code)


def test_behind_the_shut_doors_the_one_file_can_be_written(tmp_path: Path) -> None:
    assert inside(f"Path({str(tmp_path / 'out')!r}).write_text('x')", out=str(tmp_path / "out")) == ""
    assert (tmp_path / "out").read_text() == "x"


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_memory_and_time_are_bounded() -> None:
    where = str(Path(unpickle.__file__).parent)
    start = f"import sys, resource; sys.path.insert(0, {where!r}); import unpickle; unpickle.limit(100 << 20)\n"
    for code, why in (("bytearray(200 << 20)", "MemoryError"), ("bytearray(50 << 20)", "")):
        done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=False)
        assert why in done.stderr
        assert (done.returncode == 0) == (not why)
    told = start + "print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(unpickle.SECONDS), "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_the_program_leaves_the_network_where_it_may() -> None:
    tool = shutil.which("unshare")  # of util-linux: it asks for the same by other code
    if tool is None or all(
        subprocess.run([tool, *how, "true"], capture_output=True, check=False).returncode
        for how in (["--net"], ["--user", "--net"])
    ):
        pytest.skip("this system lets no process leave its network, or has no unshare to tell")
    where = str(Path(unpickle.__file__).parent)
    code = (
        f"import sys, os; sys.path.insert(0, {where!r}); import unpickle; before = os.readlink('/proc/self/ns/net')\n"
    )
    code += "unpickle.leave_the_network(); print(before, os.readlink('/proc/self/ns/net'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.split()
    assert before != after


def test_an_old_torch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unpickle, "leave_the_network", lambda: None)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(SystemExit) as ended:
        unpickle.main(saved(tmp_path / "m.pth", STATE), tmp_path / "out")
    assert ended.value.code == 69
    assert "torch must be 2.10 or later to read a pickle, got 2.9.1" in capsys.readouterr().err
