"""Log-probabilities of audio that goes on."""

from __future__ import annotations

import numpy as np

from plainspeech.arrays import Array
from plainspeech.errors import PlainspeechError
from plainspeech.features import LogMelStream
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.network import WindowedNetwork, open_network


class StreamingModel:
    """A model that gives log-probabilities while the audio arrives; threads may share one.

    Example:
        >>> model = StreamingModel(Bundle.load(bundled_model_path()))
        >>> audio, search = model.stream(), decoder.stream()
        >>> for waveform in microphone:
        ...     search.feed(audio.feed(waveform))
        ...     print(search.partial().text)
        >>> search.feed(audio.finish())
        >>> print(search.finish().text)

    Args:
        bundle: of a model that can stream.

    Attributes:
        bundle: its streaming part where it has one.

    Raises:
        PlainspeechError: the model wants whole utterances.
    """

    def __init__(self, bundle: Bundle) -> None:
        bundle = bundle.streaming or bundle
        network = open_network(bundle)
        if not isinstance(network, WindowedNetwork):
            raise PlainspeechError(f"{bundle.origin}: its model wants whole utterances")
        self.bundle = bundle
        self._network = network

    @property
    def chunk_seconds(self) -> float:
        """Seconds of audio from one output to the next."""
        return self._network.chunk * self.bundle.features.hop_ms / 1000

    @property
    def latency_seconds(self) -> float:
        """The longest that a sound waits for the audio that the model hears with it, in seconds.

        That is a chunk, the look-ahead and half an analysis window; computing comes on top.
        """
        features = self.bundle.features
        return (self._network.window * features.hop_ms + features.window_ms / 2) / 1000

    def stream(self) -> AudioStream:
        """Begin an utterance."""
        return AudioStream(self.bundle, self._network)


class AudioStream:
    """One utterance on its way through the network; made by `StreamingModel.stream`.

    What it gives does not depend on where the audio was cut.
    """

    def __init__(self, bundle: Bundle, network: WindowedNetwork) -> None:
        self._network = network
        self._log_mel = LogMelStream(bundle.features)
        self._features = np.empty((0, bundle.features.bins), np.float32)
        self._state = network.start(1)
        self._symbols = bundle.alphabet.size
        self._finished = False

    def feed(self, waveform: Array) -> Array:
        """Take the next samples and return the output that they complete.

        Args:
            waveform: ``(samples,)`` float32, any number, at the sample rate of the features.

        Returns:
            ``(output frames, symbols)`` float32, natural logarithms, the blank last; often none.

        Raises:
            PlainspeechError: the stream is finished.
        """
        self._require_unfinished()
        return self._advance(self._log_mel.feed(waveform), self._network.window)

    def finish(self) -> Array:
        """End the utterance and return the output that is left, as `feed` does.

        Raises:
            PlainspeechError: the stream is finished.
        """
        self._require_unfinished()
        self._finished = True
        return self._advance(self._log_mel.finish(), 1)

    def _require_unfinished(self) -> None:
        if self._finished:
            raise PlainspeechError("the stream is finished; begin another for more audio")

    def _advance(self, features: Array, least: int) -> Array:
        """Compute windows for as long as there are ``least`` features for one."""
        self._features = np.concatenate([self._features, features])
        outputs = [np.empty((0, self._symbols), np.float32)]
        while len(self._features) >= least:
            outputs.append(self._step())
        return np.concatenate(outputs)

    def _step(self) -> Array:
        network = self._network
        there = self._features[: network.window]
        window = np.zeros((1, network.window, there.shape[1]), np.float32)
        window[0, : len(there)] = there
        outputs, lengths, self._state = network.step(
            window, np.array([len(there)], np.int64), self._state
        )
        self._features = self._features[network.chunk :]
        return outputs[0, : lengths[0]]
