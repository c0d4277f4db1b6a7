"""The pre-parser: what it refuses of crafted files, and that it reads what safetensors itself writes."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coresr_models import header
from coresr_models.header import UnsafeFileError, read, read_header, strict_json
from tests.models.hostile import FORMS, payload


def crafted(head: str | bytes | dict[str, Any], body: bytes = b"", *, length: int | None = None) -> bytes:
    """A file of this header and payload, its length told truly unless `length` says otherwise."""
    raw = head if isinstance(head, bytes) else (head if isinstance(head, str) else json.dumps(head)).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


GOOD = crafted({"a": entry()}, bytes(8))

CRAFTED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "0 bytes"),
    "a length alone": (struct.pack("<Q", 0), "8 bytes"),
    "no header": (crafted("", bytes(8)), "JSON|column"),
    "a length beyond the file": (crafted("{}", length=1 << 40), "less than its header"),
    "a length that overflows": (crafted("{}", length=(1 << 64) - 1), "less than its header"),
    "a header too large": (struct.pack("<Q", 16_000_001) + bytes(16_000_001), "more than 16000000"),
    "not UTF-8": (crafted(b'{"a\xff": 1}'), "utf-8"),
    "not JSON": (crafted('{"a": '), "line 1 column"),
    "a list": (crafted("[1]"), "no JSON object"),
    "a space first": (crafted(" {}"), "no JSON object"),
    "nested without end": (crafted('{"a":' + "[" * 100_000), "nested without end|column"),
    "a tensor twice": (
        crafted(f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry(dtype="I32"))}}}', bytes(8)),
        "name 'a' twice",
    ),
    "metadata twice": (crafted('{"__metadata__": {}, "__metadata__": {}}'), "'__metadata__' twice"),
    "a shape twice": (crafted('{"a": {"shape": [2], "shape": [1], "dtype": "F32"}}'), "'shape' twice"),
    "metadata that are numbers": (crafted({"__metadata__": {"a": 1}}), "metadata"),
    "metadata that are a list": (crafted({"__metadata__": []}), "metadata"),
    "a path as name": (crafted({"../../x": entry()}, bytes(8)), "'../../x', not of letters"),
    "a long name": (crafted({"a" * 201: entry()}, bytes(8)), "not of letters"),
    "a line end in a name": (crafted({"a\n": entry()}, bytes(8)), "not of letters"),
    "no name": (crafted({"": entry()}, bytes(8)), "not of letters"),
    "an unknown dtype": (crafted({"a": entry(dtype="F8_E4M3")}, bytes(8)), "dtype 'F8_E4M3', none of"),
    "a list as dtype": (crafted({"a": entry(dtype=["F32"])}, bytes(8)), "of dtype"),
    "a negative side": (crafted({"a": entry(shape=[-1, -2])}, bytes(8)), "of shape"),
    "a zero side": (crafted({"a": entry(shape=[0], data_offsets=[0, 0])}), "of shape"),
    "a true side": (crafted({"a": entry(shape=[True, 2])}, bytes(8)), "of shape"),
    "a fractional side": (crafted({"a": entry(shape=[2.0])}, bytes(8)), "of shape"),
    "nine dimensions": (crafted({"a": entry(shape=[1] * 8 + [2])}, bytes(8)), "of shape"),
    "a shape that overflows": (crafted({"a": entry(shape=[1 << 32, 1 << 32])}, bytes(8)), "of 8 bytes, not those"),
    "offsets backwards": (crafted({"a": entry(data_offsets=[8, 0])}, bytes(8)), "at bytes"),
    "offsets before the start": (crafted({"a": entry(data_offsets=[-8, 0])}, bytes(8)), "at bytes"),
    "three offsets": (crafted({"a": entry(data_offsets=[0, 4, 8])}, bytes(8)), "at bytes"),
    "an offset too few": (crafted({"a": entry(data_offsets=[0, 4])}, bytes(4)), "of 4 bytes, not those"),
    "an offset too many": (crafted({"a": entry(data_offsets=[0, 12])}, bytes(12)), "of 12 bytes, not those"),
    "offsets beyond the file": (crafted({"a": entry()}, bytes(7)), "7 bytes of tensors where its header says 8"),
    "bytes behind the tensors": (crafted({"a": entry()}, bytes(9)), "9 bytes of tensors where its header says 8"),
    "a gap before": (crafted({"a": entry(data_offsets=[4, 12])}, bytes(12)), "gap or an overlap"),
    "a gap between": (crafted({"a": entry(), "b": entry(data_offsets=[12, 20])}, bytes(20)), "gap or an overlap"),
    "an overlap": (crafted({"a": entry(), "b": entry(data_offsets=[4, 12])}, bytes(12)), "gap or an overlap"),
    "a place shared": (crafted({"a": entry(), "b": entry()}, bytes(8)), "gap or an overlap"),
    "no offsets": (crafted({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)), "without exactly"),
    "one entry more": (crafted({"a": entry(more=1)}, bytes(8)), "without exactly"),
    "a number for a tensor": (crafted({"a": 3}), "without exactly"),
    "an infinite number": (crafted('{"a": 1e999}'), "too large"),
    "a NaN": (crafted('{"a": NaN}'), "no JSON"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_refused_with_its_path_its_fault_and_what_to_do(name: str, tmp_path: Path) -> None:
    data, why = CRAFTED[name]
    (tmp_path / "odd.safetensors").write_bytes(data)
    for reader in (read_header, read):
        with pytest.raises(
            ValueError, match=rf"odd\.safetensors must be a whole safetensors file, got .*({why}).*; copy it again$"
        ) as caught:
            reader(tmp_path / "odd.safetensors")
        assert not isinstance(caught.value, UnsafeFileError)


def test_more_elements_than_the_limit_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large.safetensors").write_bytes(GOOD)
    monkeypatch.setattr(header, "MAX_ELEMENTS", 2)
    assert read_header(tmp_path / "large.safetensors").elements == 2
    monkeypatch.setattr(header, "MAX_ELEMENTS", 1)
    with pytest.raises(ValueError, match="got 2 elements, more than 1"):
        read(tmp_path / "large.safetensors")


def test_what_the_library_writes_is_read_with_every_dtype_and_shape(tmp_path: Path) -> None:
    tensors = {
        f"{dtype}.{number}".removeprefix("torch."): torch.ones(shape, dtype=dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
        for number, shape in enumerate([(), (1,), (3, 1, 2), (1,) * 8])
    }
    safetensors.torch.save_file(tensors, tmp_path / "good.safetensors", {"format": "pt"})
    about = read_header(tmp_path / "good.safetensors")
    assert {name: one.shape for name, one in about.tensors.items()} == {k: tuple(t.shape) for k, t in tensors.items()}
    assert about.elements == sum(tensor.numel() for tensor in tensors.values())
    found, metadata = read(tmp_path / "good.safetensors")
    assert metadata == about.metadata == {"format": "pt"}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_file_without_tensors_is_whole(tmp_path: Path) -> None:
    (tmp_path / "none.safetensors").write_bytes(crafted("{}"))
    assert read(tmp_path / "none.safetensors") == ({}, {})


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_refused_or_holds_tensors_of_its_own_bytes(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[int], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.safetensors"
    path.write_bytes(safetensors.torch.save({"a.weight": torch.ones(2, 3), "b": torch.ones(1)}, {"coresr": "{}"}))
    content = bytearray(path.read_bytes())
    for kind in kinds:
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == 0 and content:
            content[at] = data.draw(st.integers(0, 255))
        elif kind == 1:
            content[at:at] = data.draw(st.binary(max_size=9))
        else:
            del content[at : at + data.draw(st.integers(1, 9))]
    path.write_bytes(content)
    try:
        tensors, _ = read(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017 - either it raises so, or what follows holds
        return
    assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) < len(content)
    assert all(header.NAME.fullmatch(name) for name in tensors)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*header.ITEM_SIZES, "F8"]) | json_values,
        "shape": st.lists(st.integers(0, 4), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | json_values,
    }
)


@given(st.dictionaries(st.sampled_from(["a", "b.c", "d e"]), entries | json_values, max_size=3), st.binary(max_size=64))
@settings(max_examples=300, deadline=None)
def test_any_header_is_refused_in_words_or_agrees_with_the_library(
    tmp_path_factory: pytest.TempPathFactory, about: dict[str, Any], body: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.safetensors"
    path.write_bytes(crafted(about, body))
    try:
        found = read_header(path)
    except ValueError as error:
        assert "must be a whole safetensors file" in str(error)  # noqa: PT017 - either it raises so, or they agree
        return
    tensors = safetensors.torch.load_file(path)
    assert {name: one.shape for name, one in found.tensors.items()} == {k: tuple(t.shape) for k, t in tensors.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".PT", ".ckpt", ".bin", ".pkl", ""])
def test_a_pickle_is_told_by_its_content_and_never_run(form: str, suffix: str, tmp_path: Path) -> None:
    file, sentinel = tmp_path / f"model{suffix}", tmp_path / "ran"
    file.write_bytes(payload(form, sentinel))
    for reader in (read_header, read):
        with pytest.raises(
            UnsafeFileError,
            match=rf"got .*model{suffix}, which is a (pickle|zip|tar).*: reading a pickle can run code; convert it",
        ) as caught:
            reader(file)
        assert caught.value.exit_code == 77
    assert not sentinel.exists()


@pytest.mark.parametrize("suffix", header.PICKLED)
def test_a_file_that_others_write_as_a_pickle_is_refused_by_its_suffix_alone(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"model{suffix}").write_bytes(GOOD)
    with pytest.raises(UnsafeFileError, match=rf"model{suffix}, which is a {suffix} file: .*convert it with python -m"):
        read(tmp_path / f"model{suffix}")


@pytest.mark.parametrize("length", range(16, 2100, 8))
def test_no_length_of_a_header_is_taken_for_a_pickle(length: int, tmp_path: Path) -> None:
    text = json.dumps({"block.bias": entry(), "Rib": entry(data_offsets=[8, 16])})
    raw = text + " " * (length - len(text)) if length >= len(text) else "{}" + " " * (length - 2)
    (tmp_path / "good.safetensors").write_bytes(crafted(raw, bytes(16 if length >= len(text) else 0)))
    read_header(tmp_path / "good.safetensors")


def test_a_missing_file_and_a_folder_are_missing_whatever_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("none.safetensors", "none.pth", "folder.safetensors"):
        with pytest.raises(FileNotFoundError, match=f"got .*{name}, which is not there"):
            read(tmp_path / name)


def test_json_is_read_as_its_standard_says() -> None:
    assert strict_json('{"a": [1, 2.5, null, {"b": "c"}]}') == {"a": [1, 2.5, None, {"b": "c"}]}
    for text in ('{"a": {"b": 1, "b": 1}}', "NaN", "[-Infinity]", "1e400", "1" * 5000, "[" * 100_000):
        with pytest.raises(ValueError, match="."):
            strict_json(text)
