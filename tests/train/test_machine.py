from dataclasses import replace

import pytest
import torch

from coresr_train.machine import cores, resolved, share_of_cores, start
from coresr_train.presets import quick_x2
from coresr_train.settings import ConfigError


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
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert resolved("auto", on_cpu=True) == precision
    assert resolved("fp32", on_cpu=True) == "fp32"


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_or_fp16(has_bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert resolved("auto", on_cpu=False) == precision


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="on a CPU, got fp16"):
        start(replace(quick_x2(), precision="fp16"))


def test_float32_is_float32_on_a_gpu_too() -> None:
    torch.backends.cudnn.allow_tf32 = True
    start(replace(quick_x2(), precision="fp32"))
    assert not torch.backends.cudnn.allow_tf32


def test_accumulation_that_the_launcher_would_hide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(ConfigError, match="gradient accumulation must be 1, got 4"):
        start(replace(quick_x2(), precision="fp32"))


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coresr_train.machine.cores", lambda: 8)
    for processes, share in (("1", 8), ("3", 2), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert share_of_cores() == share
