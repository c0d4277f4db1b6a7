"""The bicubic skip against an implementation of its definition, and the small helpers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from coresr_models.blocks import (
    Bicubic,
    ChannelLayerNorm,
    check_at_least,
    check_odd,
    check_one_of,
    staged_upsampling,
    zero_,
)

scales = pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])


def keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def enlarged(line: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """One axis by the definition: output i lies at (i + 0.5) / scale - 0.5, the ends mirror with the edge repeated."""
    n = len(line)
    out = np.zeros(scale * n)
    for i in range(scale * n):
        at = (i + 0.5) / scale - 0.5
        for tap in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            folded = tap % (2 * n)
            out[i] += keys(at - tap) * line[min(folded, 2 * n - 1 - folded)]
    return out


def image(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64)


@scales
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (2, 2), (2, 3), (7, 5), (8, 6)])
def test_bicubic_is_its_definition_at_any_size(scale: int, size: tuple[int, int]) -> None:
    lr = image(1, 1, *size)
    rows = np.stack([enlarged(column, scale) for column in lr[0, 0].numpy().T], axis=1)
    wanted = np.stack([enlarged(row, scale) for row in rows])
    np.testing.assert_allclose(Bicubic(scale=scale)(lr)[0, 0].numpy(), wanted, rtol=0, atol=1e-7)
    np.testing.assert_allclose(Bicubic(scale=scale)(lr.float())[0, 0].numpy(), wanted, rtol=0, atol=1e-6)


def test_bicubic_has_the_published_phases_and_first_row() -> None:
    impulse = torch.zeros(1, 1, 1, 4)
    impulse[..., 0] = 1
    assert Bicubic(scale=2)(impulse)[0, 0, 0, :2].tolist() == [1.09375, 0.8671875 - 0.0703125]
    ramp = torch.arange(6.0).square()[None, None, None]
    taps = torch.tensor([-0.0703125, 0.8671875, 0.2265625, -0.0234375])
    assert Bicubic(scale=2)(ramp)[0, 0, 0, 5].item() == pytest.approx(float(taps @ ramp[0, 0, 0, 1:5]), abs=1e-6)


@scales
def test_every_phase_sums_to_one_so_that_a_flat_image_stays_flat(scale: int) -> None:
    assert torch.allclose(Bicubic(scale=scale).weight.double().sum(dim=(1, 2, 3)), torch.ones(scale**2).double())
    flat = torch.full((1, 1, 3, 4), 0.3)
    torch.testing.assert_close(Bicubic(scale=scale)(flat), torch.full((1, 1, 3 * scale, 4 * scale), 0.3))


def test_scale_one_changes_nothing() -> None:
    lr = image(1, 2, 3, 5)
    assert torch.equal(Bicubic(scale=1)(lr), lr)


@scales
def test_flipping_and_turning_commute_with_bicubic(scale: int) -> None:
    bicubic, lr = Bicubic(scale=scale), image(1, 1, 5, 4)
    for turn in range(4):
        turned = torch.rot90(lr, turn, (2, 3))
        torch.testing.assert_close(bicubic(turned), torch.rot90(bicubic(lr), turn, (2, 3)), rtol=0, atol=1e-7)
    torch.testing.assert_close(bicubic(lr.flip(3)), bicubic(lr).flip(3), rtol=0, atol=1e-7)


def test_images_and_channels_never_mix() -> None:
    lr = image(3, 2, 4, 5)
    each = [[Bicubic(scale=3)(plane[None, None])[0, 0] for plane in one] for one in lr]
    assert torch.equal(Bicubic(scale=3)(lr), torch.stack([torch.stack(one) for one in each]))


def test_values_outside_0_1_are_neither_clamped_nor_bent() -> None:
    lr = image(1, 1, 6, 6)
    torch.testing.assert_close(Bicubic(scale=2)(10 * lr - 5), 10 * Bicubic(scale=2)(lr) - 5, rtol=0, atol=1e-9)


def test_bicubic_is_never_computed_in_bfloat16_by_autocast() -> None:
    lr, bicubic = torch.rand(1, 1, 8, 8), Bicubic(scale=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bicubic(lr), bicubic(lr.clone()))
        mixed = bicubic(lr)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, bicubic(lr))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_bicubic_answers_in_the_type_of_its_input(dtype: torch.dtype) -> None:
    assert Bicubic(scale=2)(torch.rand(1, 1, 3, 3).to(dtype)).dtype == dtype


def test_bicubic_runs_on_meta_tensors_for_counting_costs() -> None:
    assert Bicubic(scale=2)(torch.empty(1, 1, 3, 5, device="meta")).shape == (1, 1, 6, 10)


def test_bicubic_adds_nothing_to_a_state_dict_and_nothing_to_train() -> None:
    assert not Bicubic(scale=2).state_dict()
    assert not list(Bicubic(scale=2).parameters())


def test_gradients_pass_through_bicubic() -> None:
    assert torch.autograd.gradcheck(Bicubic(scale=2), image(1, 1, 2, 3).requires_grad_())


@pytest.mark.parametrize("scale", [0, -1])
def test_bicubic_refuses_a_scale_below_one(scale: int) -> None:
    with pytest.raises(ValueError, match=f"^scale must be 1 or more, got {scale}$"):
        Bicubic(scale=scale)


@settings(max_examples=40, deadline=None)
@given(scale=st.integers(1, 9), line=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=9))
def test_any_line_is_enlarged_by_the_definition(scale: int, line: list[float]) -> None:
    values = np.array(line)
    for lr in (values[None], values[:, None]):
        sr = Bicubic(scale=scale)(torch.from_numpy(lr)[None, None])[0, 0].numpy()
        wanted = np.repeat(enlarged(values, scale)[None], scale, axis=0)
        np.testing.assert_allclose(sr if len(lr) == 1 else sr.T, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_zero_zeroes_weight_and_bias_and_hands_the_layer_back(bias: bool) -> None:
    layer = nn.Conv2d(2, 3, 3, bias=bias)
    assert zero_(layer) is layer
    assert not any(parameter.any() for parameter in layer.parameters())


def test_a_word_outside_the_known_ones_is_refused_with_all_of_them() -> None:
    check_one_of("norm", "none", ("none", "group"))
    with pytest.raises(ValueError, match="^norm must be one of none, group, got batch$"):
        check_one_of("norm", "batch", ("none", "group"))


def test_a_count_below_the_lowest_is_refused_by_name() -> None:
    check_at_least(1, width=1, depth=2)
    with pytest.raises(ValueError, match="^depth must be 1 or more, got 0$"):
        check_at_least(1, width=1, depth=0)


def test_an_even_kernel_has_no_centre_and_is_refused_by_name() -> None:
    check_odd(kernel=1, other=17)
    for value in (0, 2, -3):
        with pytest.raises(ValueError, match=f"^kernel must be odd and 1 or more, got {value}$"):
            check_odd(other=3, kernel=value)


def test_layer_normalisation_gives_each_pixel_mean_zero_and_variance_one_over_its_channels() -> None:
    norm, x = ChannelLayerNorm(width=8).double(), 5 + 3 * torch.randn(2, 8, 4, 5, dtype=torch.float64)
    normal = norm(x)
    assert normal.mean(dim=1).abs().max() < 1e-12
    torch.testing.assert_close(normal.var(dim=1, correction=0), torch.ones(2, 4, 5).double(), rtol=1e-4, atol=0)
    poked = x.clone()
    poked[..., 2, 3] += 7
    assert ((norm(poked) != normal).any(dim=1).sum(dim=(1, 2)) <= 1).all()


def test_layer_normalisation_keeps_a_flat_pixel_finite_and_then_scales_and_shifts_each_channel() -> None:
    norm, x = ChannelLayerNorm(width=2).double(), torch.tensor([1.0, 1.002], dtype=torch.float64)[None, :, None, None]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 10.0]))
        norm.bias.copy_(torch.tensor([0.5, -1.0]))
    # deviations of 0.001 over the root of a variance and an eps of a millionth each
    torch.testing.assert_close(norm(x).flatten(), torch.tensor([0.5 - 2**0.5, -1 + 50**0.5], dtype=torch.float64))
    assert norm(torch.ones(1, 2, 1, 1).double()).flatten().tolist() == [0.5, -1.0]


@pytest.mark.parametrize(("scale", "planes"), [(1, []), (2, [20]), (3, [45]), (4, [20, 20]), (8, [20, 20, 20])])
def test_the_staged_tail_doubles_step_by_step_or_trebles_at_once(scale: int, planes: list[int]) -> None:
    tail = staged_upsampling(scale=scale, width=5)
    assert [layer.out_channels for layer in tail if isinstance(layer, nn.Conv2d)] == planes
    assert tail(torch.rand(1, 5, 2, 3)).shape == (1, 5, 2 * scale, 3 * scale)


@pytest.mark.parametrize("scale", [5, 6, 9, 12])
def test_the_staged_tail_refuses_other_scales_with_a_remedy(scale: int) -> None:
    with pytest.raises(ValueError, match=f"^scale must be 1, 3 or a power of 2 .*got {scale}; take tail='direct'$"):
        staged_upsampling(scale=scale, width=5)
