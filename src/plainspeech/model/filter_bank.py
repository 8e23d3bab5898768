"""`plainspeech.features.LogMel` for batches of waveforms, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plainspeech.features import (
    LEAST_ENERGY,
    POVEY_EXPONENT,
    PREEMPHASIS,
    QUIET,
    RAISED,
    FeatureSettings,
    mel_triangles,
    normaliser,
)
from plainspeech.model.padding import mask
from plainspeech.normalisation import GATES_DB, LEAST_DEVIATION, SILENCE


class FilterBank(nn.Module):
    """Log-mel filter bank energies as Kaldi computes them, without dither.

    Equal to `plainspeech.features.LogMel` within 1e-4.

    Args:
        settings: of the features.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, settings: FeatureSettings) -> None:
        super().__init__()
        self.settings = settings
        self._size = round(settings.sample_rate * settings.window_ms / 1000)
        self._hop = round(settings.sample_rate * settings.hop_ms / 1000)
        self._spectrum = 1 << (self._size - 1).bit_length()
        hann = torch.hann_window(self._size, periodic=False, dtype=torch.float64)
        self.register_buffer("window", hann.pow(POVEY_EXPONENT).float())
        triangles = mel_triangles(settings, self._spectrum)
        self.register_buffer("filters", torch.from_numpy(triangles).float())

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of every waveform and how many frames it has.

        Args:
            waveforms: ``(batch, samples)`` float32, padded with anything.
            lengths: ``(batch,)`` int64, samples of each, on the CPU.

        Returns:
            ``(batch, frames, bins)`` float32, zero in the padding, and ``(batch,)`` int64 on the
            CPU.
        """
        frames = (lengths + self._hop // 2) // self._hop
        inside = mask(lengths, waveforms.shape[1], waveforms.device)
        waveforms = waveforms.masked_fill(~inside, 0.0)
        waveforms = waveforms * self.settings.gain
        if self.settings.normalise == "utterance":
            peaks = waveforms.abs().amax(1, keepdim=True)
            quiet = (peaks > 0) & (peaks < QUIET)
            waveforms = waveforms * torch.where(quiet, RAISED / peaks, 1.0)
        energies = self._energies(waveforms, lengths, int(frames.max()))
        there = mask(frames, energies.shape[1], energies.device)[:, :, None]
        return self._normalised(energies, there, frames) * there, frames

    def _energies(self, waveforms: Tensor, lengths: Tensor, frames: int) -> Tensor:
        """Return the logs of the filters' energies, ``(batch, frames, bins)``."""
        # A frame is centred on each hop, and the edges of every waveform are mirrored.
        before = (self._size - self._hop) // 2
        needed = (frames - 1) * self._hop + self._size
        places = torch.arange(needed, device=waveforms.device) - before
        ends = lengths.to(waveforms.device, non_blocking=True)[:, None]
        places = torch.where(places < 0, -1 - places, places).expand(len(waveforms), -1)
        places = torch.where(places >= ends, 2 * ends - 1 - places, places)
        mirrored = waveforms.gather(1, places.clamp(0, waveforms.shape[1] - 1))
        x = mirrored.unfold(1, self._size, self._hop)
        x = x - x.mean(2, keepdim=True)
        x = torch.cat([(1 - PREEMPHASIS) * x[..., :1], x[..., 1:] - PREEMPHASIS * x[..., :-1]], 2)
        spectrum = torch.view_as_real(torch.fft.rfft(x * self.window, self._spectrum))
        power = spectrum.square().sum(-1)
        with torch.autocast(power.device.type, enabled=False):
            energies: Tensor = (power @ self.filters).clamp_min(LEAST_ENERGY).log()
        return energies

    def _normalised(self, energies: Tensor, there: Tensor, frames: Tensor) -> Tensor:
        if self.settings.normalise == "none":
            return energies
        if self.settings.normalise.startswith("running"):
            return self._running(energies, frames)
        if self.settings.normalise == "utterance":
            return _standardised(energies, there)
        power = energies.exp().mean(2, keepdim=True)
        speech = there
        for gate in GATES_DB:
            level = (power * speech).sum(1, keepdim=True) / speech.sum(1, keepdim=True).clamp_min(1)
            speech = there & (power >= level * 10 ** (-gate / 10))
        return _standardised(energies, speech).clamp_min(SILENCE)

    def _running(self, energies: Tensor, frames: Tensor) -> Tensor:
        """Normalise row by row on the CPU: each frame waits for the one before it."""
        rows = energies.cpu().numpy()
        for row, count in zip(rows, frames.tolist(), strict=True):
            row[:count] = normaliser(self.settings)(row[:count])
        return torch.from_numpy(rows).to(energies.device)


def _standardised(energies: Tensor, counted: Tensor) -> Tensor:
    """Return zero mean and unit deviation over the ``counted`` frames, ``(batch, frames, 1)``."""
    count = counted.sum(1, keepdim=True).clamp_min(1)
    centred = energies - (energies * counted).sum(1, keepdim=True) / count
    variance = (centred.square() * counted).sum(1, keepdim=True) / count
    return centred / variance.sqrt().clamp_min(LEAST_DEVIATION)
