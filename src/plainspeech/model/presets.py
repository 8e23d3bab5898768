"""Models by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plainspeech.errors import ConfigurationError, nearest
from plainspeech.features import FeatureSettings
from plainspeech.model.base import AcousticModel
from plainspeech.model.crnn import Crnn
from plainspeech.model.reference import Reference
from plainspeech.model.streaming import Streaming


@dataclass(frozen=True)
class Preset:
    """A model and the features it is made for.

    Attributes:
        model: its class.
        sizes: of its layers, by the names of the class's arguments; those not named are its
            defaults.
        features: how its waveforms become features.
        streams_as: the preset for streaming with the same weights.
    """

    model: type[AcousticModel]
    features: FeatureSettings
    sizes: Mapping[str, Any] = field(default_factory=dict)
    streams_as: str | None = None

    @property
    def frame_seconds(self) -> float:
        """Seconds between two output frames."""
        return self.model.subsampling * self.features.hop_ms / 1000

    def build(self, symbols: int, phones: int = 0) -> AcousticModel:
        """Return a fresh model.

        Args:
            symbols: outputs, the blank included.
            phones: outputs of a head over phones, likewise; 0 for none.

        Raises:
            ConfigurationError: it is asked for such a head and cannot have one.
        """
        if not phones:
            return self.model(self.features.bins, symbols, **self.sizes)
        if not issubclass(self.model, Crnn):
            raise ConfigurationError(
                f"a {self.model.__name__} cannot learn phones: leave out 'pronunciations'"
            )
        return self.model(self.features.bins, symbols, **self.sizes, phones=phones)


# MP3 of few kbit/s ends near 6 kHz. Normalised, the empty bins above would be loud noise.
_FEATURES = FeatureSettings(high_hz=5_800.0, normalise="speech")
_STREAMED_FEATURES = replace(_FEATURES, normalise="running-speech")
_BASE = {"width": 384, "blocks": 6, "kernel": 11, "layers": 3, "hidden": 384, "residual": True}

PRESETS = {
    "small": Preset(Crnn, replace(_FEATURES, normalise="utterance"), streams_as="small-streaming"),
    "base": Preset(Crnn, _FEATURES, _BASE, streams_as="base-streaming"),
    "small-streaming": Preset(Streaming, replace(_FEATURES, normalise="running")),
    "base-streaming": Preset(Streaming, _STREAMED_FEATURES, _BASE),
    # 1344 frames are 16.8 s, as in the published system; its 128 filters need a longer window
    # than its 25 ms to have a frequency in each.
    "reference": Preset(Reference, FeatureSettings(bins=128, window_ms=40.0, hop_ms=12.5)),
}


def have_same_weights(one: str, other: str) -> bool:
    """Return whether weights of a preset are another's: one may be for streaming what the other is.

    Args:
        one: name of a preset, which need not be known here.
        other: likewise.
    """
    streaming = [PRESETS[name].streams_as for name in (one, other) if name in PRESETS]
    return one == other or one in streaming or other in streaming


def preset(name: str) -> Preset:
    """Return the preset called ``name``.

    Raises:
        ConfigurationError: there is no such preset; the message suggests the nearest.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preset {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]
