from __future__ import annotations

import pytest
import torch

from plainspeech.training.device import autocast, mixed_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, GPU])
def test_what_is_asked_for_is_done(device: torch.device) -> None:
    assert mixed_precision("bf16", device)
    assert not mixed_precision("fp32", device)


@pytest.mark.parametrize("has", [True, False])
def test_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert mixed_precision("auto", CPU) is has
    assert mixed_precision("auto", GPU) is has
    assert not mixed_precision("auto", torch.device("meta"))


@pytest.mark.parametrize(("mixed", "kind"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_context_settles_the_type_of_products(mixed: bool, kind: torch.dtype) -> None:
    with autocast(mixed, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is kind
