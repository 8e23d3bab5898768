"""Models by name."""

from __future__ import annotations

from dataclasses import dataclass

from plainspeech.errors import PlainspeechError, nearest
from plainspeech.features import FeatureSettings
from plainspeech.model.base import AcousticModel
from plainspeech.model.reference import Reference
from plainspeech.model.small import Small
from plainspeech.model.streaming import Streaming


@dataclass(frozen=True)
class Preset:
    """A model and the features it is made for.

    Attributes:
        model: its class.
        features: how its waveforms become features.
        streams_as: the preset that takes the same weights and hears audio as it comes.
    """

    model: type[AcousticModel]
    features: FeatureSettings
    streams_as: str | None = None

    @property
    def frame_seconds(self) -> float:
        """Seconds between two output frames."""
        return self.model.subsampling * self.features.hop_ms / 1000

    def build(self, symbols: int) -> AcousticModel:
        """Return a fresh model with ``symbols`` outputs, the blank included."""
        return self.model(self.features.bins, symbols)


PRESETS = {
    # MP3 of few kbit/s ends near 6 kHz. Normalised, the empty bins above would be loud noise.
    "small": Preset(Small, FeatureSettings(high_hz=5_800.0), streams_as="streaming"),
    "streaming": Preset(Streaming, FeatureSettings(high_hz=5_800.0, normalise="running")),
    # 1344 frames are 16.8 s, as in the published system; its 128 filters need a longer window
    # than its 25 ms to have a frequency in each.
    "reference": Preset(Reference, FeatureSettings(bins=128, window_ms=40.0, hop_ms=12.5)),
}


def preset(name: str) -> Preset:
    """Return the preset called ``name``.

    Raises:
        PlainspeechError: there is none; the message suggests the nearest.
    """
    if name not in PRESETS:
        raise PlainspeechError(f"there is no model preset {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]
