"""A dev set on which decoders are compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.cores import available_cores
from plainspeech.data.manifest import Track, Utterance, untracked
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.calibration import Evidence
from plainspeech.decoding.priors import estimate_log_priors
from plainspeech.decoding.results import best_text
from plainspeech.evaluation.error_rates import ErrorCounts, Pair, Scores, word_counts
from plainspeech.evaluation.reliability import Flags, correct_words
from plainspeech.runtime.decoders import Decoder
from plainspeech.tuning.outputs import Outputs


@dataclass(frozen=True)
class DevResult:
    """The result of a decoder on a dev set.

    Attributes:
        pairs: reference and hypothesis of each utterance.
        milliseconds: of processor time to decode a second of audio, which depends less on other
            load of the machine than wall-clock time.
    """

    pairs: tuple[Pair, ...]
    milliseconds: float

    @property
    def word_error_rate(self) -> float:
        """Of the whole set."""
        return sum(word_counts(self.pairs), ErrorCounts()).rate

    @property
    def scores(self) -> Scores:
        """Errors of each utterance, in words and in characters."""
        return Scores.of(self.pairs)


@dataclass(frozen=True)
class DevSet:
    """Utterances with the outputs of a model for them.

    Attributes:
        utterances: of the manifest, all of them.
        outputs: of the model for them.
        alphabet: of the model.
    """

    utterances: Sequence[Utterance]
    outputs: Outputs
    alphabet: Alphabet

    def log_priors(self, decoder: BeamSearchDecoder) -> tuple[float, ...]:
        """Return the priors of the symbols that ``decoder`` searches, by the model's outputs."""
        return estimate_log_priors(map(decoder.validated, self.outputs.log_probabilities.values()))

    def decode(self, decoder: Decoder) -> DevResult:
        """Decode every utterance that could be read, on all cores."""
        rows = self._with_frames()
        started = time.process_time()
        found = decoder.decode_batch([*rows.values()], available_cores())
        spent = time.process_time() - started
        texts = (transcript.text for transcript in found)
        return self._result(dict(zip(rows, texts, strict=True)), spent)

    def decode_with_shares(
        self, decoder: BeamSearchDecoder, shares: Sequence[float]
    ) -> list[DevResult]:
        """Decode once; return the result with each of ``shares`` of a recurrent language model.

        Args:
            decoder: whose share is not 0.
            shares: in place of its own.
        """
        rows = self._with_frames()
        started = time.process_time()
        found = decoder.decode_rescored_batch([*rows.values()], available_cores())
        spent = time.process_time() - started
        own = decoder.settings.neural_weight
        texts = ([best_text(some, share / own) for some in found] for share in shares)
        return [self._result(dict(zip(rows, each, strict=True)), spent) for each in texts]

    def _with_frames(self) -> dict[int, Array]:
        rows = self.outputs.log_probabilities
        return {place: each for place, each in rows.items() if len(each)}

    def _result(self, texts: Mapping[int, str], seconds: float) -> DevResult:
        """Return the result of ``texts``, by the places of their utterances."""
        rows = self.outputs.log_probabilities
        pairs = tuple(self._pair(place, texts.get(place, "")) for place in rows)
        return DevResult(pairs, 1_000 * seconds / self.outputs.audio_seconds)

    def compare(
        self, decoders: Sequence[Decoder], times: int = 3, track: Track = untracked
    ) -> list[DevResult]:
        """Decode with each of ``decoders`` in turn, several times; the shortest time counts."""
        turns = [*decoders] * times
        results = [self.decode(decoder) for decoder in track(turns, len(turns))]
        return [
            min(results[place :: len(decoders)], key=lambda one: one.milliseconds)
            for place in range(len(decoders))
        ]

    def evidence(
        self, decoder: BeamSearchDecoder, track: Track = untracked
    ) -> tuple[Evidence, Flags]:
        """Return the evidence for each word that the search finds, and whether it is right."""
        rows = self._with_frames()
        with ThreadPoolExecutor(available_cores()) as pool:
            decoded = pool.map(decoder.decode_with_evidence, rows.values())
            found = dict(zip(rows, track(decoded, len(rows)), strict=True))
        pairs = [self._pair(place, transcript.text) for place, (transcript, _) in found.items()]
        correct = correct_words(
            [pair.reference for pair in pairs], [pair.hypothesis for pair in pairs]
        )
        return np.concatenate([evidence for _, evidence in found.values()]), correct

    def _pair(self, place: int, text: str) -> Pair:
        said = self.utterances[place]
        return Pair(said.id, said.speaker, self.alphabet.normalise(said.text), text)
