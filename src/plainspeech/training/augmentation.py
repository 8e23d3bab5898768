"""Augmentation of batches of waveforms and features, on the device that trains.

Every draw comes from one generator, which is reseeded at each step, so a run that resumes
draws what it would have drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from plainspeech.model.padding import mask

_ZEROS = 8  # of the sinc on either side, by which waveforms are resampled


@dataclass(frozen=True)
class Augmentation:
    """How training utterances are varied, differently in every epoch.

    Shares are probabilities of an utterance. All but the speeds grow from nothing to their full
    strength over the warm-up of the learning rate.

    Attributes:
        speeds: factors of speed perturbation (Ko et al., Interspeech 2015), drawn evenly.
        silence_share: of utterances that get silence around them.
        silence_seconds: the most of it at either end.
        room_share: in a simulated room: the direct sound and an exponentially decaying
            tail of 0.07 to 0.8 s (RT60).
        noise_share: with noise of a random spectral slope, white to brown.
        babble_share: with three other utterances of the batch behind them.
        snr_db: the lowest and the highest signal-to-noise ratio of noise and babble.
        telephone_share: limited to 300 to 3400 Hz and companded to 8 bits (ITU-T G.711, mu-law).
        band_share: limited to an upper edge between 2.5 and 6 kHz, as lossy codecs do.
        frequency_warp: the axis of the mel bins is stretched by up to this share, up or down:
            vocal tract length perturbation (Jaitly and Hinton, 2013).
        frequency_masks: bands of mel bins blanked in an utterance.
        frequency_mask_bins: the widest such band.
        time_masks_per_second: spans of time blanked, on average over a second.
        time_mask_seconds: the longest such span.
    """

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    silence_share: float = 0.0
    silence_seconds: float = 0.5
    room_share: float = 0.0
    noise_share: float = 0.0
    babble_share: float = 0.0
    snr_db: tuple[float, ...] = (5.0, 35.0)
    telephone_share: float = 0.0
    band_share: float = 0.0
    frequency_warp: float = 0.08
    frequency_masks: int = 2
    frequency_mask_bins: int = 20
    time_masks_per_second: float = 0.5
    time_mask_seconds: float = 0.3


class Augmenter:
    """Varies one batch.

    Args:
        settings: how.
        sample_rate: Hz, of the waveforms.
        seed: of every draw.
        device: where the batch is.
        strength: from 0 to 1, of everything but speed and silence.
    """

    def __init__(
        self,
        settings: Augmentation,
        sample_rate: int,
        seed: int,
        device: torch.device,
        strength: float = 1.0,
    ) -> None:
        self._settings = settings
        self._rate = sample_rate
        self._device = device
        self._strength = strength
        self._generator = torch.Generator(device).manual_seed(seed)
        # Lengths are needed on the CPU, and what changes them is drawn there.
        self._cpu = torch.Generator().manual_seed(seed)

    def shape(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Draw what changes the durations: speed, and silence around the speech.

        Args:
            waveforms: ``(batch, samples)``, zero in the padding.
            lengths: ``(batch,)`` int64, on the CPU.

        Returns:
            The same, changed.
        """
        settings, count = self._settings, len(lengths)
        drawn = torch.randint(len(settings.speeds), (count,), generator=self._cpu)
        speeds = [settings.speeds[index] for index in drawn.tolist()]
        waveforms, lengths = perturb_speed(waveforms, lengths, speeds)
        if not settings.silence_share:
            return waveforms, lengths
        most = round(settings.silence_seconds * self._rate)
        silent = torch.rand(count, generator=self._cpu) < settings.silence_share
        before, after = (
            torch.randint(most + 1, (count,), generator=self._cpu) * silent for _ in range(2)
        )
        return delay(waveforms, before, int((lengths + before + after).max())), (
            lengths + before + after
        )

    def corrupt(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Return ``(batch, samples)`` in rooms, noise, babble and narrow bands, as drawn."""
        settings, x = self._settings, waveforms.clone()
        inside = mask(lengths, x.shape[1], self._device)
        power = x.square().sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp_min(1)
        if (rows := self._drawn(len(x), settings.room_share)) is not None:
            x[rows] = self._in_a_room(x[rows])
        if (rows := self._drawn(len(x), settings.noise_share)) is not None:
            x[rows] += self._at_some_snr(self._noise(x[rows]), power[rows])
        if (rows := self._drawn(len(x), settings.babble_share)) is not None:
            others = torch.stack([waveforms[(rows + shift) % len(x)] for shift in (1, 2, 3)])
            x[rows] += self._at_some_snr(others.sum(0), power[rows])
        if (rows := self._drawn(len(x), settings.band_share)) is not None:
            highest = self._rand(len(rows), 1) * 3_500 + 2_500
            x[rows] = band_limited(x[rows], self._rate, torch.zeros_like(highest), highest)
        if (rows := self._drawn(len(x), settings.telephone_share)) is not None:
            low, high = (power.new_full((len(rows), 1), hz) for hz in (300.0, 3_400.0))
            x[rows] = mu_law(band_limited(x[rows], self._rate, low, high))
        return x * inside

    def mask(self, features: Tensor, frames: Tensor, hop_seconds: float) -> Tensor:
        """Warp the axis of frequency, and blank bands of it and spans of time.

        SpecAugment (Park et al., Interspeech 2019) without time warping; the number of spans grows
        with the duration (Park et al., ICASSP 2020). Blank is zero, the mean of the features.

        Args:
            features: ``(batch, frames, bins)``, normalised to zero mean.
            frames: ``(batch,)`` int64, of each utterance.
            hop_seconds: from one frame to the next.
        """
        settings, (batch, longest, bins) = self._settings, features.shape
        factors = 1 + settings.frequency_warp * (2 * self._rand(batch, 1) - 1)
        x = warp_frequency(features, factors)
        widest = settings.frequency_mask_bins * self._strength
        bands = self._spans(batch, settings.frequency_masks, widest, x.new_full((batch, 1), bins))
        x = x * ~covered(*bands, bins)[:, None, :]
        seconds = frames.to(self._device)[:, None] * hop_seconds
        rate = settings.time_masks_per_second * self._strength
        wanted = torch.poisson(seconds * rate, generator=self._generator)
        # Twice the mean and some: that a Poisson draw is beyond it hardly ever happens.
        most = math.ceil(2 * rate * longest * hop_seconds) + 3
        starts, ends = self._spans(
            batch, most, settings.time_mask_seconds / hop_seconds, frames.to(self._device)[:, None]
        )
        unwanted = torch.arange(most, device=self._device)[None, :] >= wanted
        return x * ~covered(starts, ends.masked_fill(unwanted, 0), longest)[:, :, None]

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self._device, generator=self._generator)

    def _drawn(self, count: int, share: float) -> Tensor | None:
        """Return the rows of ``count`` that a share draws, None for none.

        On the CPU: how many there are is a size, for which a GPU would have to be waited for.
        """
        drawn = torch.rand(count, generator=self._cpu) < share * self._strength
        return drawn.nonzero()[:, 0].to(self._device) if drawn.any() else None

    def _in_a_room(self, x: Tensor) -> Tensor:
        """Convolve with decaying noise, which is all a room adds but for the first reflections.

        Its energy is from a hundredth of the direct sound's, close to the mouth, to four times as
        much, as two metres from it in a living room.
        """
        taps = round(0.5 * self._rate)
        time = torch.arange(taps, device=self._device) / self._rate
        decay = 0.01 + 0.11 * self._rand(len(x), 1)  # s, to 1/e; RT60 is 6.9 times that
        tail = self._randn(len(x), taps) * torch.exp(-time / decay)
        tail = tail / tail.square().sum(1, keepdim=True).sqrt()
        response = tail * 10 ** (-1 + 1.3 * self._rand(len(x), 1))
        response[:, 0] = 1.0
        size = fast_size(x.shape[1] + taps)
        spectrum = torch.fft.rfft(x, size) * torch.fft.rfft(response, size)
        heard: Tensor = torch.fft.irfft(spectrum, size)[:, : x.shape[1]]
        return heard

    def _noise(self, x: Tensor) -> Tensor:
        """Return noise whose power falls with frequency to the power of 0 to 2."""
        size = fast_size(x.shape[1])
        frequency = torch.arange(1, size // 2 + 2, device=self._device)[None, :]
        slope = self._rand(len(x), 1)
        # Gaussian noise is Gaussian in its spectrum, too.
        parts = self._randn(len(x), size // 2 + 1, 2) * (frequency.float() ** -slope)[:, :, None]
        noise: Tensor = torch.fft.irfft(torch.view_as_complex(parts), size)[:, : x.shape[1]]
        return noise

    def _at_some_snr(self, noise: Tensor, power: Tensor) -> Tensor:
        low, high = self._settings.snr_db
        snr = 10 ** ((low + (high - low) * self._rand(len(noise), 1)) / 10)
        own = noise.square().mean(1, keepdim=True).clamp_min(1e-12)
        return noise * (power / snr / own).sqrt()

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self._device, generator=self._generator)

    def _spans(self, batch: int, count: int, widest: float, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Draw starts and ends, ``(batch, count)`` each, of spans within ``(batch, 1)`` sizes."""
        widths = (self._rand(batch, count) * (widest + 1)).floor().minimum(sizes)
        starts = (self._rand(batch, count) * (sizes - widths + 1)).floor()
        return starts, starts + widths


def covered(starts: Tensor, ends: Tensor, size: int) -> Tensor:
    """Return which of ``size`` places lie in a span of their row, ``(batch, size)`` bool."""
    places = torch.arange(size, device=starts.device)
    return ((places >= starts[..., None]) & (places < ends[..., None])).any(1)


def perturb_speed(
    waveforms: Tensor, lengths: Tensor, speeds: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return each waveform played ``speed`` times as fast, pitch and all, and its length.

    Args:
        waveforms: ``(batch, samples)``, zero in the padding.
        lengths: ``(batch,)`` int64, on the CPU.
        speeds: one a row; taken as fractions of denominators up to 32.
    """
    ratios = list(map(_ratio, speeds))
    after = torch.tensor(list(map(played_length, lengths.tolist(), speeds)))
    out = waveforms.new_zeros(len(waveforms), int(after.max()))
    for ratio in sorted(set(ratios)):
        rows = [row for row, own in enumerate(ratios) if own == ratio]
        longest = int(after[rows].max())
        index = torch.tensor(rows, device=waveforms.device)
        resampled = _resample(waveforms[index], ratio)[:, :longest]
        out[index, : resampled.shape[1]] = resampled
    inside = mask(after, out.shape[1], out.device)
    return out * inside, after


def played_length(samples: int, speed: float) -> int:
    """Return how many samples `perturb_speed` makes of ``samples``."""
    ratio = _ratio(speed)
    return -(-samples * ratio.denominator // ratio.numerator)


def _ratio(speed: float) -> Fraction:
    return Fraction(speed).limit_denominator(32)


def _resample(waveforms: Tensor, speed: Fraction) -> Tensor:
    """Read ``(batch, samples)`` at ``speed`` times its own rate, by windowed sinc interpolation."""
    if speed == 1:
        return waveforms
    kernels, width = _kernels(speed)
    padded = functional.pad(waveforms, (width, width + speed.numerator))
    # Every output sample of a period of `denominator` has a phase, and so its own kernel.
    phases = functional.conv1d(
        padded[:, None], kernels.to(waveforms.device)[:, None], stride=speed.numerator
    )
    return phases.transpose(1, 2).flatten(1)


@lru_cache(maxsize=64)
def _kernels(speed: Fraction) -> tuple[Tensor, int]:
    """Return ``(denominator, taps)`` kernels, a Hann-windowed sinc a phase, and their reach."""
    cut = 0.97 * min(1.0, float(1 / speed))  # of half the sample rate
    width = math.ceil(_ZEROS / cut)
    taps = torch.arange(-width, width + speed.numerator, dtype=torch.float64)
    phases = torch.arange(speed.denominator, dtype=torch.float64) * float(speed)
    places = (taps[None, :] - phases[:, None]) * cut
    window = torch.cos(math.pi / 2 * (places / _ZEROS).clamp(-1, 1)).square()
    return (torch.sinc(places) * window * cut).float(), width


def delay(waveforms: Tensor, before: Tensor, size: int) -> Tensor:
    """Return ``(batch, size)``: each waveform after ``before`` samples of silence."""
    places = torch.arange(size, device=waveforms.device)[None, :]
    places = places - before.to(waveforms.device)[:, None]
    there = (places >= 0) & (places < waveforms.shape[1])
    return waveforms.gather(1, places.clamp(0, waveforms.shape[1] - 1)) * there


def band_limited(waveforms: Tensor, rate: int, low: Tensor, high: Tensor) -> Tensor:
    """Return ``(batch, samples)`` between ``low`` and ``high`` Hz, ``(batch, 1)`` each."""
    size = fast_size(waveforms.shape[1])
    spectrum = torch.fft.rfft(waveforms, size)
    hz = torch.linspace(0, rate / 2, spectrum.shape[1], device=waveforms.device)[None, :]
    # Slopes a twelfth of an octave wide, in place of an edge that would ring.
    rising = ((hz - low) / (low / 12 + 1) + 1).clamp(0, 1)
    falling = ((high - hz) / (high / 12) + 1).clamp(0, 1)
    limited: Tensor = torch.fft.irfft(spectrum * rising * falling, size)
    return limited[:, : waveforms.shape[1]]


def fast_size(samples: int) -> int:
    """Return the least even size from ``samples`` on of which Fourier transforms are fast.

    These are products of 2, 3 and 5; of a large prime they take many times as long.
    """
    best = 1 << max(samples - 1, 1).bit_length()
    for odd in (3, 5, 9, 15, 25, 27, 45, 75, 81, 125):
        best = min(best, odd << max((-(-samples // odd) - 1).bit_length(), 1))
    return best


def mu_law(waveforms: Tensor) -> Tensor:
    """Return ``(batch, samples)`` rounded to the 256 values of G.711's mu-law."""
    peak = waveforms.abs().amax(1, keepdim=True).clamp_min(1e-9)
    x = waveforms / peak
    companded = x.sign() * torch.log1p(255 * x.abs()) / math.log(256)
    rounded = (companded * 127).round() / 127
    return peak * rounded.sign() * (256 ** rounded.abs() - 1) / 255


def warp_frequency(features: Tensor, factors: Tensor) -> Tensor:
    """Return features with bin ``b`` taken from bin ``b * factor``.

    Between two bins, their values are interpolated; beyond the last, it is repeated. On the mel
    scale this moves the formants as another length of the vocal tract does, and leaves the tempo.

    Args:
        features: ``(batch, frames, bins)``.
        factors: ``(batch, 1)``.
    """
    bins = features.shape[2]
    places = (torch.arange(bins, device=features.device)[None, :] * factors).clamp_max(bins - 1)
    lower = places.floor().clamp_max(bins - 2)
    share = (places - lower)[:, None, :]
    index = lower.long()[:, None, :].expand_as(features)
    return torch.lerp(features.gather(2, index), features.gather(2, index + 1), share)
