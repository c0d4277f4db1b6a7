"""Weight files that want to run code: eight forms of X1, each of which writes a sentinel file where it is obeyed."""

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Call:
    """Unpickled, it calls."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.called


def payload(form: str, sentinel: Path) -> bytes:
    """The bytes of a file of one of FORMS, which writes `sentinel` if it is obeyed."""
    write = Call(Path.write_text, sentinel, "run")
    opened = f"__import__('pathlib').Path({str(sentinel)!r}).write_text('run')"
    weights = {"conv_first.weight": torch.zeros(1), "x": write}
    makers: dict[str, Callable[[], bytes]] = {
        "os.system": lambda: pickle.dumps(Call(os.system, f"echo run > {sentinel}"), 2),
        "eval": lambda: _saved(Call(eval, opened)),
        "nested": lambda: _saved({"params": Call(torch.storage._load_from_bytes, _saved(write))}),
        "zip": lambda: _saved({"params": weights}),
        "legacy": lambda: _saved({"params": weights}, zipped=False),
        "tar": lambda: _tar(pickle.dumps(write)),
        "text": lambda: b"cbuiltins\nexec\n(V" + opened.encode() + b"\ntR.",
        "TorchScript": lambda: _scripted(pickle.dumps(write)),
    }
    return makers[form]()


FORMS = ("os.system", "eval", "nested", "zip", "legacy", "tar", "text", "TorchScript")


def _saved(content: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _tar(member: bytes) -> bytes:
    """As torch wrote before 0.1.10: a tar of pickles."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            about = tarfile.TarInfo(name)
            about.size = len(member)
            archive.addfile(about, io.BytesIO(member))
    return file.getvalue()


def _scripted(member: bytes) -> bytes:
    """An archive laid out as TorchScript's, with a hostile pickle where its constants are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/constants.pkl", member)
        archive.writestr("model/data.pkl", member)
        archive.writestr("model/version", "3\n")
        archive.writestr("model/code/__torch__.py", "")
    return file.getvalue()
