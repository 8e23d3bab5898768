"""Where and in which precision to compute, and batches of waveforms as features there."""

from __future__ import annotations

import torch
from torch import Tensor

from plainspeech.data.loading import FULL_SCALE, Batch
from plainspeech.errors import ConfigurationError
from plainspeech.features import FeatureSettings
from plainspeech.model.filter_bank import FilterBank
from plainspeech.model.padding import to_device
from plainspeech.training.augmentation import Augmentation, Augmenter
from plainspeech.training.step import TensorBatch
from plainspeech.training.teacher import Teacher


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``"auto"`` is the first GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"--device {name} cannot be used: {reason}") from error
    if device.type == "cuda":
        # What mixed precision leaves in float32 is computed in TF32.
        torch.set_float32_matmul_precision("high")
    return device


def mixed_precision(wanted: str, device: torch.device) -> bool:
    """Return whether to compute in bfloat16 where that is safe.

    Args:
        wanted: ``"bf16"``, ``"fp32"``, or ``"auto"``: where the processor has instructions for it,
            since emulating it is slower than float32.
        device: where the model is.
    """
    if wanted != "auto":
        return wanted == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def autocast(mixed: bool, device: torch.device) -> torch.autocast:
    """Return the context in which the model computes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed)


class FeatureExtractor:
    """Makes features of batches.

    Args:
        settings: of the features.
        device: where to compute.
        augmentation: None leaves utterances as they are.
        views: augmentations of each utterance.
        teacher: that hears every utterance as augmentation shapes it, but without what corrupts
            it.
    """

    def __init__(
        self,
        settings: FeatureSettings,
        device: torch.device,
        augmentation: Augmentation | None = None,
        views: int = 1,
        teacher: Teacher | None = None,
    ) -> None:
        self._bank = FilterBank(settings).to(device)
        self._device = device
        self._augmentation = augmentation
        self._views = views
        self._teacher = teacher

    @torch.no_grad()
    def __call__(self, batch: Batch, seed: int = 0, strength: float = 1.0) -> TensorBatch:
        """Return ``batch`` on the device.

        Args:
            batch: of waveforms.
            seed: of what augmentation draws.
            strength: of the augmentation, from 0 to 1.
        """
        samples, lengths = torch.from_numpy(batch.waveforms), torch.from_numpy(batch.lengths)
        waveforms = to_device(samples, self._device).float() / FULL_SCALE
        targets = to_device(torch.from_numpy(batch.targets), self._device)
        target_lengths = torch.from_numpy(batch.target_lengths)
        phones = to_device(torch.from_numpy(batch.phones), self._device)
        phone_lengths = torch.from_numpy(batch.phone_lengths)
        if self._augmentation is None:
            features, frames = self._bank(waveforms, lengths)
            taught = self._teacher(waveforms, lengths) if self._teacher else ()
            return TensorBatch(
                features,
                frames,
                targets,
                target_lengths,
                phones,
                phone_lengths,
                taught=taught,
            )
        rate, hop = self._bank.settings.sample_rate, self._bank.settings.hop_ms / 1000
        augmenter = Augmenter(self._augmentation, rate, seed, self._device, strength)
        waveforms, lengths = augmenter.shape(waveforms, lengths)
        taught = self._teacher(waveforms, lengths) if self._teacher else ()
        views: list[Tensor] = []
        for _ in range(self._views):
            features, frames = self._bank(augmenter.corrupt(waveforms, lengths), lengths)
            views.append(augmenter.mask(features, frames, hop))
        return TensorBatch(
            torch.cat(views),
            frames.repeat(self._views),
            targets.repeat(self._views, 1),
            target_lengths.repeat(self._views),
            phones.repeat(self._views, 1),
            phone_lengths.repeat(self._views),
            self._views,
            taught,
        )
