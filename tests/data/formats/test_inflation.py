"""Without imagecodecs a deflated part may not give more than its pixels need; what is honest is read as ever."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from coresr_data.formats.inflation import MIRRORED, refuse_inflation
from coresr_data.formats.pieces import BLOCK, RefusedError

LEVELS = np.random.default_rng(0).integers(0, 65536, (60, 44)).astype(np.uint16)
MB = 64  # of a bomb, decoded

READING = """
import sys
sys.modules["imagecodecs"] = None  # as if it were not installed
import pathlib
import resource
import numpy as np
from coresr_data.formats import open_volume
for path in map(pathlib.Path, sys.argv[1:]):
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reads = {"whole": lambda v: v[len(v) - 1], "region": lambda v: v.region(len(v) - 1, *[slice(0, 16)] * 2)}
    for kind, read in reads.items():
        try:
            np.save(path.with_name(f"{path.stem}-{kind}.npy"), read(open_volume(path)))
        except ValueError as error:
            print(path.name, kind, error)
    print(path.name, "grew", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most) // 1024)
"""


def read_without(*paths: Path) -> list[str]:
    """What a process without imagecodecs says of these files."""
    done = subprocess.run([sys.executable, "-c", READING, *map(str, paths)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def write(path: Path, levels: Any = LEVELS, **how: Any) -> None:
    tifffile.imwrite(path, levels, photometric="minisblack", compression="zlib", metadata=None, bigtiff=True, **how)


def bomb(path: Path, offsets: int, counts: int) -> None:
    """Let the first part of a file be a stream that decodes to zeros without end."""
    encoder = zlib.compressobj(9)
    stream = b"".join(encoder.compress(bytes(BLOCK)) for _ in range(MB)) + encoder.flush()
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        tags = [(tag.offset, list(tag.value)) for tag in (tiff.pages.first.tags[code] for code in (offsets, counts))]
    file = bytearray(data + stream)
    for (place, values), first in zip(tags, (len(data), len(stream)), strict=True):
        struct.pack_into("<HQQ", file, place + 2, 16, len(values), len(file))
        file += struct.pack(f"<{len(values)}Q", first, *values[1:])
    path.write_bytes(file)


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_a_bomb_is_refused_without_being_held(tmp_path: Path) -> None:
    write(tmp_path / "tiles.tif", tile=(16, 16))
    bomb(tmp_path / "tiles.tif", 324, 325)
    write(tmp_path / "strips.tif", rowsperstrip=16)
    bomb(tmp_path / "strips.tif", 273, 279)
    write(tmp_path / "deep.tif", np.stack([LEVELS] * 2), tile=(16, 16), volumetric=True)
    bomb(tmp_path / "deep.tif", 324, 325)
    said = read_without(*tmp_path.glob("*.tif"))
    for name, most in (("tiles", 16 * 16 * 2), ("strips", 16 * 44 * 2), ("deep", 16 * 16 * 2)):
        lines = [line for line in said if line.startswith(f"{name}.tif")]
        assert [line.split()[1] for line in lines] == ["whole", "region", "grew"]
        for line in lines[:2]:
            assert f"{name}.tif must decode to at most {most} bytes a part, got more in part 0; replace it" in line
        assert int(lines[2].split()[2]) < MB // 2


def test_what_is_honest_is_read_as_ever(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 65536, (900, 800)).astype(np.uint16)  # more than a block
    kinds: dict[str, dict[str, Any]] = {
        "tiles": {"tile": (16, 32)},
        "predicted": {"tile": (16, 32), "predictor": True},
        "strips": {"rowsperstrip": 7, "byteorder": ">"},
        "one": {"rowsperstrip": 900},
    }
    for name, how in kinds.items():
        write(tmp_path / f"{name}.tif", noise, **how)
    write(tmp_path / "deep.tif", np.stack([noise] * 2)[:, :64, :64], tile=(16, 16), volumetric=True)
    said = read_without(*tmp_path.glob("*.tif"))
    assert all("grew" in line for line in said), said
    for name in kinds:
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}-whole.npy"), noise)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}-region.npy"), noise[:16, :16])
    np.testing.assert_array_equal(np.load(tmp_path / "deep-whole.npy"), noise[:64, :64])


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_part_may_give_all_of_its_bytes_and_not_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mirrored: bool
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    write(tmp_path / "a.tif", rowsperstrip=60)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page: Any = tiff.pages.first
        for more in (0, 1):
            stream = zlib.compress(LEVELS.tobytes() + bytes(more))
            (tmp_path / "stream").write_bytes(stream.translate(MIRRORED) if mirrored else stream)
            page.fillorder, page.databytecounts, page.dataoffsets = 1 + mirrored, (len(stream),), (0,)
            page.parent.filehandle.close()
            page.parent._fh = tifffile.FileHandle(tmp_path / "stream")
            if more:
                with pytest.raises(RefusedError, match="decode to at most 5280 bytes a part, got more in part 0"):
                    refuse_inflation(page, [0])
            else:
                refuse_inflation(page, [0])
        page.parent.filehandle.close()
