from dataclasses import replace

import pytest
import torch

from coresr_train.machine import cores, resolved, start
from coresr_train.presets import ConfigError, quick_x2


def test_all_cores_compute() -> None:
    torch.set_num_threads(1)
    accelerator = start(replace(quick_x2(), precision="fp32"))
    if accelerator.device.type == "cpu":
        assert torch.get_num_threads() == cores() >= 1


def test_another_number_of_processes_than_expected_is_refused() -> None:
    with pytest.raises(ConfigError, match="processes must be 2 .* got 1; on a CPU use: ACCELERATE_USE_CPU=1"):
        start(replace(quick_x2(), precision="fp32", expect_processes=2))


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_only_where_a_cpu_has_instructions_for_it(
    has_bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert resolved("auto") == precision
    assert resolved("fp16") == "fp16"


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_or_fp16(has_bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert resolved("auto") == precision
