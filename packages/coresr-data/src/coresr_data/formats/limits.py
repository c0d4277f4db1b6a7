"""What an image may promise before it is decoded whole: a few bytes of header can promise any number of pixels.

What is mapped needs no limit, for its file holds every level that it promises.
"""

from coresr_data.formats.pieces import MOST_PIXELS, MOST_RATIO, RefusedError

MOST_STORED = 2**32
"""Bytes of a file that is decoded whole."""
MOST_TILE = 2**26
"""Pixels of a tile of a TIFF."""
RATIO_FROM = 2**26
"""Decoded bytes from which the ratio counts: fewer are harmless, and an honest image may be black but for a corner."""


def refuse_bomb(pixels: int, decoded: int, stored: int) -> None:
    """RefusedError for an image of `pixels`, held in `stored` bytes, that is too large or too dense.

    The ratio is that of `decoded` to stored bytes; deflate reaches 1032 on a constant image.
    """
    if pixels > MOST_PIXELS:
        raise RefusedError(
            f"be of at most {MOST_PIXELS} pixels, got {pixels}; "
            "cut it into smaller images, or save it as an uncompressed TIFF or .npy"
        )
    if stored > MOST_STORED:
        raise RefusedError(
            f"be of at most {MOST_STORED} bytes where it is compressed, got {stored}; cut it into smaller images"
        )
    if decoded > RATIO_FROM and decoded > MOST_RATIO * stored:
        raise RefusedError(
            f"decode to at most {MOST_RATIO} times its {stored} bytes, got a header that says {decoded}; "
            "replace it, or save it uncompressed if it is meant so"
        )
