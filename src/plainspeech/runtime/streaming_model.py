"""Streaming: log-probabilities and text of an utterance while its audio arrives."""

from __future__ import annotations

import numpy as np

from plainspeech.arrays import Array
from plainspeech.decoding.results import PartialText
from plainspeech.decoding.validation import OneUtterance
from plainspeech.errors import ConfigurationError, ModelError, wrong_type
from plainspeech.features import LogMelStream
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.decoders import DecoderStream
from plainspeech.runtime.network import WindowedNetwork, open_network
from plainspeech.transcript import Transcript


class StreamingModel:
    """An acoustic model that computes while the audio arrives; threads may share one.

    Example:
        >>> model = StreamingModel(Bundle.load(bundled_model_path()))
        >>> letters = slice(model.bundle.alphabet.size)  # of a model that hears phones, too
        >>> decoder = BeamSearchDecoder(model.bundle.alphabet, columns=letters)
        >>> audio, search = model.stream(), decoder.stream()
        >>> for waveform in microphone:
        ...     search.feed(audio.feed(waveform))
        ...     print(search.partial().text)
        >>> search.feed(audio.finish())
        >>> print(search.finish().text)

    Args:
        bundle: of a model with a streaming network.

    Attributes:
        bundle: its streaming part where it has one.

    Raises:
        ConfigurationError: ``bundle`` is none.
        ModelError: the model needs whole utterances.
    """

    def __init__(self, bundle: Bundle) -> None:
        if not isinstance(bundle, Bundle):
            raise ConfigurationError(wrong_type("bundle", bundle, "pass Bundle.load(path)"))
        bundle = bundle.streaming or bundle
        network = open_network(bundle)
        if not isinstance(network, WindowedNetwork):
            raise ModelError(
                f"{bundle.origin}: has no streaming network; its model needs whole utterances"
            )
        self.bundle = bundle
        self._network = network

    @property
    def chunk_seconds(self) -> float:
        """Seconds of audio from one output to the next."""
        return self._network.chunk * self.bundle.features.hop_ms / 1000

    @property
    def latency_seconds(self) -> float:
        """Algorithmic latency: the longest wait for the audio that an output needs, in seconds.

        That is a chunk, the look-ahead and half an analysis window; computing comes on top.
        """
        features = self.bundle.features
        return (self._network.window * features.hop_ms + features.window_ms / 2) / 1000

    def stream(self) -> AudioStream:
        """Begin an utterance."""
        return AudioStream(self.bundle, self._network)


class AudioStream(OneUtterance):
    """The log-probabilities of one utterance; made by `StreamingModel.stream`.

    They do not depend on where the audio is cut.
    """

    def __init__(self, bundle: Bundle, network: WindowedNetwork) -> None:
        self._network = network
        self._log_mel = LogMelStream(bundle.features)
        self._features = np.empty((0, bundle.features.bins), np.float32)
        self._state = network.start(1)
        self._symbols = bundle.outputs

    def feed(self, waveform: Array) -> Array:
        """Take the next samples and return the output that they complete.

        Args:
            waveform: ``(samples,)`` float32, any number, at the sample rate of the features.

        Returns:
            ``(output frames, symbols)`` float32, natural logarithms, the blank last; often none.

        Raises:
            DecodingError: the stream is finished.
        """
        self._require_unfinished()
        return self._advance(self._log_mel.feed(waveform), self._network.window)

    def finish(self) -> Array:
        """End the utterance and return the output that is left, as `feed` does.

        Raises:
            DecodingError: the stream is finished.
        """
        self._finish()
        return self._advance(self._log_mel.finish(), 1)

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


class UtteranceStream:
    """The text of one utterance: its audio goes through the network and the decoder.

    Args:
        audio: new.
        search: of the decoder, new.
    """

    def __init__(self, audio: AudioStream, search: DecoderStream) -> None:
        self._audio = audio
        self._search = search
        self._partial = PartialText("", "")

    def feed(self, waveform: Array) -> PartialText:
        """Take the next samples, ``(samples,)``, and return the text so far.

        Raises:
            DecodingError: the stream is finished.
        """
        rows = self._audio.feed(waveform)
        if len(rows):
            self._search.feed(rows)
            self._partial = self._search.partial()
        return self._partial

    def finish(self, waveform: Array) -> Transcript:
        """Take the last samples and return the final text.

        Raises:
            DecodingError: the stream is finished.
        """
        self._search.feed(np.concatenate([self._audio.feed(waveform), self._audio.finish()]))
        return self._search.finish()
