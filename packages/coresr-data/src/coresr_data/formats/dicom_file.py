"""One DICOM file: what its header says, and its frames as grey levels. Attributes are those of PS3.3 C.7.6, C.11.1."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coresr_data.formats.pieces import RefusedError, refusals, refuse_shape
from coresr_data.formats.rescale import Rescale, rescale
from coresr_data.volume import Levels

KIND = "DICOM file"
DEFLATED = "1.2.840.10008.1.2.1.99"
DEFERRED = 2**12  # bytes
TAGS = [
    *("SeriesInstanceUID", "SeriesDescription", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SpacingBetweenSlices", "SliceThickness", "RescaleSlope", "RescaleIntercept", "NumberOfFrames"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PixelData"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What one file says about its slice or frames."""

    path: Path
    series: str
    description: str
    number: int | None
    """InstanceNumber."""
    position: NDArray[np.float64] | None
    """Of the centre of the first pixel, mm."""
    axes: NDArray[np.float64] | None
    """(2, 3): directions in which columns and rows count up."""
    pixel_mm: tuple[float, float] | None
    """Sides along y and x."""
    depth_mm: float | None
    """Distance to the next slice, where the file itself says it."""
    frames: int
    size: tuple[int, int]
    stored: np.dtype[np.generic]
    scaled: Rescale

    @property
    def image(self) -> tuple[object, ...]:
        """What all slices of a volume must share."""
        return (self.size, self.stored, self.scaled, self.pixel_mm)


def read_header(pydicom: Any, path: Path) -> Header:
    """Without the pixels; ValueError, naming the file, where its pixels could not be read as grey levels."""
    with refusals(path, KIND), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes that are not used here
        syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
        _refuse_undecodable(pydicom, syntax)
        # values of more than DEFERRED bytes are skipped, except that those of unknown length would be read
        options = {"stop_before_pixels": True} if syntax.is_encapsulated else {"defer_size": DEFERRED}
        said = pydicom.dcmread(path, specific_tags=TAGS, **options)
        if said.get("Rows") is None:
            raise RefusedError("hold an image, got none; remove it")
        stored, bits = _pixel_type(said)
        frames, size = int(said.get("NumberOfFrames") or 1), (int(said.Rows), int(said.Columns))
        refuse_shape((frames, *size))
        if not syntax.is_encapsulated:
            _refuse_other_length(
                said.get_item("PixelData", keep_deferred=True), frames * size[0] * size[1] * stored.itemsize
            )
        spacing, axes = _floats(said, "PixelSpacing", 2), _floats(said, "ImageOrientationPatient", 6)
        depths = [_floats(said, name, 1) for name in ("SpacingBetweenSlices", "SliceThickness")]
        number = said.get("InstanceNumber")
        return Header(
            path=path,
            series=str(said.get("SeriesInstanceUID")),
            description=str(said.get("SeriesDescription") or "without a description").strip(),
            number=None if number is None else int(number),
            position=_floats(said, "ImagePositionPatient", 3),
            axes=None if axes is None else axes.reshape(2, 3),
            pixel_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
            depth_mm=next((abs(float(depth[0])) for depth in depths if depth is not None and depth[0] != 0), None),
            frames=frames,
            size=size,
            stored=stored,
            scaled=_scaled(said, stored, bits),
        )


def _refuse_undecodable(pydicom: Any, syntax: Any) -> None:
    if syntax == DEFLATED:
        raise RefusedError("not be deflated as a whole, got transfer syntax Deflated; decompress it, with dcmconv say")
    try:
        decoder = pydicom.pixels.get_decoder(syntax)
        missing = [] if decoder.is_available else decoder.missing_dependencies
    except NotImplementedError:
        missing = ["no decoder"]
    if missing:
        raise RefusedError(
            f"be uncompressed or packed in a way that is known here, got {syntax.name} ({'; '.join(missing)}); "
            "decompress it, with gdcmconv --raw say"
        )


def _pixel_type(said: Any) -> tuple[np.dtype[np.generic], int]:
    """The dtype of the stored values, and how many bits of it are used."""
    if "SharedFunctionalGroupsSequence" in said or "ModalityLUTSequence" in said:
        raise RefusedError("hold plain frames, got an enhanced file or a lookup table; save one file a slice")
    if said.SamplesPerPixel != 1 or said.PhotometricInterpretation != "MONOCHROME2":
        raise RefusedError(
            f"be grey with low as black (MONOCHROME2), got {said.PhotometricInterpretation} "
            f"of {said.SamplesPerPixel} samples; convert it"
        )
    if said.PixelRepresentation not in (0, 1):
        raise RefusedError(f"have PixelRepresentation 0 or 1, got {said.PixelRepresentation}; repair it")
    allocated, bits = int(said.BitsAllocated), int(said.BitsStored)
    if allocated not in (8, 16, 32) or not 1 <= bits <= allocated or int(said.get("HighBit", bits - 1)) != bits - 1:
        raise RefusedError(f"hold 8, 16 or 32 bits, the low ones used, got {bits} of {allocated}; convert it")
    return np.dtype(f"{'iu'[said.PixelRepresentation == 0]}{allocated // 8}"), bits


def _refuse_other_length(pixels: Any, expected: int) -> None:
    """RefusedError where uncompressed pixels are not as many as the header says: pydicom would read what follows."""
    length = 0 if pixels is None else pixels.length
    if length != expected + expected % 2:
        raise RefusedError(f"hold {expected} bytes of pixels, as its header says, got {length}; replace it")


def _scaled(said: Any, stored: np.dtype[np.generic], bits: int) -> Rescale:
    slope, intercept = _floats(said, "RescaleSlope", 1), _floats(said, "RescaleIntercept", 1)
    return rescale(
        stored,
        1.0 if slope is None else float(slope[0]),
        0.0 if intercept is None else float(intercept[0]),
        bits=bits,
    )


def _floats(said: Any, name: str, count: int) -> NDArray[np.float64] | None:
    value = said.get(name)
    if value is None or value == "":
        return None
    numbers = np.atleast_1d(np.array(value, float))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise RefusedError(f"have {count} finite numbers in {name}, got {value}; repair it")
    return numbers


def read_frame(pydicom: Any, header: Header, frame: int) -> Levels:
    """The levels of a frame, counted from 0, rescaled; ValueError, naming the file, where they are broken."""
    with refusals(header.path, KIND), warnings.catch_warnings():
        warnings.simplefilter("error")  # about pixels that are more, fewer or other than the header says
        stored = pydicom.pixels.pixel_array(header.path, index=frame, raw=True)
        if stored.shape != header.size or stored.dtype.newbyteorder("=") != header.stored:
            raise RefusedError(f"hold {header.stored} pixels of shape {header.size}, got {stored.dtype} {stored.shape}")
        levels = header.scaled(stored)
        return levels.astype(levels.dtype.newbyteorder("="), order="C")
