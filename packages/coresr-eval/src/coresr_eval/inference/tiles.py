"""Any size, tile by tile: exact at the seams where the network's reach is known, blended where it spans the image."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from coresr_eval.inference.backing_off import halved, let_go, ran_out
from coresr_eval.inference.blending import weights
from coresr_eval.inference.projecting import Operators, project
from coresr_eval.inference.regions import Source, cut, length, padded, scaled, up, wider

Upscale = Callable[[Tensor], Tensor]

_log = logging.getLogger(__name__)


class Tiles:
    """Super-resolves regions of images of any size; where memory is short it halves its tiles, for good.

    Each tile is computed with `receptive_field` more LR pixels on every side and cropped, so that the seams are exact.
    With None, for a network whose statistics span the image, every region asked for is computed from the whole image.
    With `operators` what is computed is back-projected, on the unpadded image, and tiles have their reach as more halo.
    """

    def __init__(
        self,
        upscale: Upscale,
        *,
        scale: int,
        multiple_of: int = 1,
        receptive_field: int | None,
        tile: int = 512,
        operators: Operators | None = None,
    ) -> None:
        if tile < 1:
            raise ValueError(f"tile must be 1 LR pixel or more, got {tile}")
        self._upscale, self._scale, self._multiple = upscale, scale, multiple_of
        self._reach = receptive_field
        self._operators, self._margin = operators, operators.reach if operators else 0
        self._halo = 0 if receptive_field is None else up(receptive_field + self._margin, multiple_of)
        self.side = up(tile, multiple_of)
        """Of a tile without its halo, in LR pixels: on the network's grid, and no more than memory allows."""

    def region(self, source: Source, y: slice, x: slice) -> Tensor:
        """SR of the LR rows `y` and columns `x`, `(b, c, scale·rows, scale·columns)`.

        Their starts must be multiples of `multiple_of`. ValueError for a region without pixels, MemoryError where the
        smallest tile does not fit.
        """
        longest = max(length(y), length(x))
        if min(length(y), length(x)) > 0 and (self._reach is None or longest <= self.side):
            side = None if self._reach is None else longest
            sr = self._attempted(lambda: self._exact(source, y, x), side)
            if sr is not None:
                return sr
        parts = ((part_y, part_x) for part_y in cut(y, self.side) for part_x in cut(x, self.side))
        return self._assembled(source, y, x, list(parts))

    def blended(self, source: Source, overlap: int) -> Tensor:
        """SR of the whole image from tiles that see `overlap` LR pixels beyond their borders, faded into one another.

        Not the image that the network gives as a whole, but without seams: for networks whose statistics span the
        image, or whose reach costs too much. The fading windows sum to exactly 1. ValueError unless a tile is at least
        twice as wide as the overlap, MemoryError where no such tile fits.
        """
        overlap = up(overlap, self._multiple)
        if not 0 < 2 * overlap <= self.side:
            raise ValueError(
                f"overlap must be from 1 to half a tile of {self.side} LR pixels, got {overlap}; take larger tiles"
            )
        while (sr := self._attempted(lambda: self._faded(source, overlap), self.side, overlap)) is None:
            pass
        return sr

    def _attempted(self, compute: Callable[[], Tensor], side: int | None, overlap: int = 0) -> Tensor | None:
        """What `compute` answers; None where it ran out of memory and tiles smaller than `side`, if any, may do.

        Tiles are no narrower than twice their `overlap`.
        """
        try:
            return compute()
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            half = halved(side, self._multiple) if side else None
            if half is None or half < 2 * overlap:
                what = f"a tile of {side} LR pixels and its halo" if side else "the image whole, for its statistics"
                remedy = f"take an overlap below {overlap}" if overlap else "blend tiles by an overlap"
                raise MemoryError(
                    f"memory must hold {what} in this network, got too little ({_line(error)}); free some, or {remedy}"
                ) from error
        let_go()  # out here, where the failed attempt's tensors are gone
        self.side = half
        _log.warning("memory is short for tiles of %d LR pixels: going on with %d", side, half)
        return None

    def _assembled(self, source: Source, y: slice, x: slice, parts: list[tuple[slice, slice]]) -> Tensor:
        whole: Tensor | None = None
        for part_y, part_x in parts:
            sr = self.region(source, part_y, part_x)
            if whole is None:
                whole = sr.new_empty(*sr.shape[:2], self._scale * (y.stop - y.start), self._scale * (x.stop - x.start))
            whole[..., scaled(part_y, self._scale, y.start), scaled(part_x, self._scale, x.start)] = sr
        if whole is None:
            raise ValueError(f"region must hold LR pixels, got rows {y} and columns {x}")
        return whole

    def _exact(self, source: Source, y: slice, x: slice) -> Tensor:
        """One tile with its halo, cropped; the whole image where the reach is not known."""
        height, width = source.size
        around = (slice(0, height), slice(0, width))
        if self._reach is not None:
            around = (wider(y, self._halo, height), wider(x, self._halo, width))
        sr, lr = self._forward(source, *around)
        if self._operators is not None and self._reach is not None:
            sr = project(sr, lr, self._operators)
        elif self._operators is not None:
            sr = self._projected(sr, Source(read=lambda rows, columns: lr[..., rows, columns], size=source.size))
        return sr[..., scaled(y, self._scale, around[0].start), scaled(x, self._scale, around[1].start)]

    def _faded(self, source: Source, overlap: int) -> Tensor:
        height, width = source.size
        whole: Tensor | None = None
        for y in cut(slice(0, height), self.side):
            for x in cut(slice(0, width), self.side):
                around = (wider(y, overlap, height), wider(x, overlap, width))
                sr, _ = self._forward(source, *around)
                if whole is None:
                    wide = torch.promote_types(sr.dtype, torch.float32)
                    whole = sr.new_zeros(*sr.shape[:2], self._scale * height, self._scale * width, dtype=wide)
                rows = weights(y, height, overlap, self._scale).to(whole)
                window = rows[:, None] * weights(x, width, overlap, self._scale).to(whole)
                whole[..., scaled(around[0], self._scale), scaled(around[1], self._scale)] += sr * window
        if whole is None:
            raise ValueError(f"image must hold pixels, got {height}×{width}")
        return self._projected(whole, source).to(sr.dtype)

    def _forward(self, source: Source, y: slice, x: slice) -> tuple[Tensor, Tensor]:
        """The network's answer on LR rows and columns, and these; padded to its grid where they end with the image."""
        lr = padded(source, slice(y.start, up(y.stop, self._multiple)), slice(x.start, up(x.stop, self._multiple)))
        sr = self._upscale(lr)
        wanted = (*lr.shape[:2], self._scale * lr.shape[-2], self._scale * lr.shape[-1])
        if sr.shape != wanted:  # the crops would hide another scale
            raise ValueError(f"the network's output must be {wanted} at scale {self._scale}, got {tuple(sr.shape)}")
        rows, columns = length(y), length(x)
        return sr[..., : self._scale * rows, : self._scale * columns], lr[..., :rows, :columns]

    def _projected(self, sr: Tensor, source: Source) -> Tensor:
        """SR of the whole image, back-projected by tiles where there are operators."""
        if self._operators is None:
            return sr
        (height, width), scale = source.size, self._scale
        found = torch.empty_like(sr)
        for y in cut(slice(0, height), self.side):
            for x in cut(slice(0, width), self.side):
                rows, columns = wider(y, self._margin, height), wider(x, self._margin, width)
                part = sr[..., scaled(rows, scale), scaled(columns, scale)]
                part = project(part, source.read(rows, columns), self._operators)
                part = part[..., scaled(y, scale, rows.start), scaled(x, scale, columns.start)]
                found[..., scaled(y, scale), scaled(x, scale)] = part
        return found


def tiled(
    upscale: Upscale,
    lr: Tensor,
    *,
    scale: int,
    multiple_of: int = 1,
    receptive_field: int | None,
    tile: int = 512,
    overlap: int | None = None,
    operators: Operators | None = None,
) -> Tensor:
    """The same image as `upscale(lr)`, in memory bounded by `tile` LR pixels a side, halved where that is too much.

    Each tile is computed with `receptive_field` more LR pixels on every side and cropped, so the seams are exact.
    Pass None for a network whose statistics span the image: it is then run whole, unless `overlap` allows an image
    that is only close to it: tiles that see so many LR pixels beyond their borders, faded into one another. Sizes are
    padded at the far edges to `multiple_of`, by reflection where the image is large enough, and cropped again. With
    `operators` the image is that of `back_projected(upscale, operators)`, seams included. `lr` is (b, c, h, w).
    MemoryError where the smallest tile does not fit.
    """
    if lr.ndim != 4:
        raise ValueError(f"lr must be (b, c, h, w), got {tuple(lr.shape)}")
    tiles = Tiles(
        upscale,
        scale=scale,
        multiple_of=multiple_of,
        receptive_field=receptive_field,
        tile=tile,
        operators=operators,
    )
    height, width = lr.shape[-2:]
    source = Source(read=lambda y, x: lr[..., y, x], size=(height, width))
    if overlap is not None:
        return tiles.blended(source, overlap)
    return tiles.region(source, slice(0, height), slice(0, width))


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
