"""The networks that the tests over the whole mapping try."""

from coresr_models.build import Argument

SMALL: dict[str, dict[str, Argument]] = {
    "edsr": {"width": 6, "blocks": 2},
    "unet": {"width": 8, "depth": 2},
}
"""Small ones, so that all tests over the mapping run in seconds."""

ALTERNATIVES: dict[str, dict[str, Argument]] = {
    "edsr": {
        "scale": 3,
        "channels": 2,
        "width": 4,
        "blocks": 3,
        "residual_scale": 0.3,
        "tail": "direct",
        "global_residual": "none",
    },
    "unet": {
        "scale": 3,
        "channels": 2,
        "depth": 1,
        "width": 4,
        "max_width": 16,
        "norm": "group",
        "global_residual": "none",
    },
}
"""For each constructor argument another value than in SMALL or the default."""

MORE: list[tuple[str, dict[str, Argument]]] = [
    ("edsr", {"scale": 1}),
    ("edsr", {"scale": 4}),
    ("edsr", {"scale": 8, "blocks": 1}),
    ("edsr", {"scale": 6, "tail": "direct"}),
    ("unet", {"scale": 1}),
    ("unet", {"scale": 4}),
    ("unet", {"scale": 2, "depth": 3}),
]
"""Beyond one change at a time."""

STATED_REACH: dict[str, float] = {"unet": 0.75}
"""The least measured share of the stated receptive field, 1 unless named: pooling and the skip round it up."""
