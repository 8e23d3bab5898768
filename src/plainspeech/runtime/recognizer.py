"""From recordings to transcripts by an ONNX model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.audio.channels import Channels, validated_channels
from plainspeech.cores import available_cores, in_threads
from plainspeech.decoding.validation import require_count
from plainspeech.errors import AudioError, ConfigurationError, ModelError, wrong_type
from plainspeech.features import LogMel
from plainspeech.runtime.batched_pool import BatchedPool
from plainspeech.runtime.bundle import Bundle, named_model
from plainspeech.runtime.decoders import Decoder, LoadingDecoder, choose_decoder
from plainspeech.runtime.devices import usable_device
from plainspeech.runtime.helped_pool import HelpedPool
from plainspeech.runtime.long_audio import (
    BeginTranscript,
    PendingTranscript,
    TranscriptPart,
    join_parts,
    transcribe_sections,
)
from plainspeech.runtime.network import Network, WindowedNetwork, open_network
from plainspeech.transcript import Transcript

if TYPE_CHECKING:
    from plainspeech.decoding.hot_words import HotWords

_BATCH_FRAMES = {"float32": 5_000, "int8": 0}
"""Frames of a batch, padding included, by precision; see `plainspeech.runtime.network` for int8."""

_CUDA_FRAMES = 30_000
"""Likewise on a GPU, five minutes of audio; chosen by the memory it takes, not measured."""

_CUDA_TOGETHER = 16
"""Chunks of recordings that go to a GPU at a time."""


class Recognizer:
    """A model that is ready to transcribe.

    `plainspeech.runtime.network` describes the networks; one for streaming transcribes whole
    recordings too.

    Args:
        bundle: the model.
        threads: that compute, an utterance each; by default one per core.
        decoder: by default the beam search where the bundle has a scorer, else greedy decoding.
        network: of the bundle, if it is open already.
        device: where ``network`` runs: on a GPU, batches are large, and one at a time.

    Attributes:
        bundle: the model.
        decoder: turns log-probabilities into text.
        threads: that compute.
        observe: is told, from any thread, how many seconds a stage took: ``features`` and
            ``network`` of a batch, ``search`` of all utterances of a call.

    Raises:
        ConfigurationError: ``threads`` is below 1, or ``bundle`` is none.
        ModelError: the network is not such an ONNX network.
        LanguageModelError: the scorer of the bundle is damaged.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        decoder: Decoder | None = None,
        network: Network | None = None,
        device: str = "cpu",
    ) -> None:
        if not isinstance(bundle, Bundle):
            raise ConfigurationError(
                wrong_type("bundle", bundle, "pass a Bundle, or take load_model(path)")
            )
        self.bundle = bundle
        self.decoder = choose_decoder(bundle) if decoder is None else decoder
        self.threads = _counted_threads(threads) or available_cores()
        self._log_mel = LogMel(bundle.features)
        self._network = network or open_network(bundle)
        self.observe: Callable[[str, float], None] = _ignore
        self._batched = (
            BatchedPool(self._transcribe_queued, _CUDA_TOGETHER) if device == "cuda" else None
        )

    @property
    def streams(self) -> bool:
        """Whether its network can compute while the audio arrives."""
        return isinstance(self._network, WindowedNetwork)

    def transcribe(
        self,
        source: str | Path | BinaryIO | npt.NDArray[Any],
        sample_rate: int = audio.SAMPLE_RATE,
        hot_words: HotWords | None = None,
        channels: Channels = "mixed",
    ) -> Transcript:
        """Transcribe one recording of any length; `transcribe_parts` gives it part by part.

        Args:
            source: path, binary file, or waveform ``(samples,)`` or ``(samples, channels)``:
                floats in [-1, 1], or integers.
            sample_rate: Hz, of a waveform; files declare theirs.
            hot_words: words and phrases, each with the nats that an occurrence adds; for the beam
                search only.
            channels: ``"mixed"`` transcribes their `plainspeech.audio.channels.Downmix`,
                ``"separate"`` each channel by itself; its segments have its number.

        Raises:
            AudioError: the recording cannot be read.
            ConfigurationError: ``channels`` is neither.
            DecodingError: the hot words are not valid.
        """
        return join_parts(self.transcribe_parts(source, sample_rate, hot_words, channels))

    def transcribe_parts(
        self,
        source: str | Path | BinaryIO | npt.NDArray[Any],
        sample_rate: int = audio.SAMPLE_RATE,
        hot_words: HotWords | None = None,
        channels: Channels = "mixed",
        threads: int | None = None,
    ) -> Iterator[TranscriptPart]:
        """Yield the transcript of a recording part by part, in bounded memory.

        Speech is found first, and cut where the speaker pauses, see
        `plainspeech.runtime.long_audio`; where nothing is said, there is no text.

        Args:
            source: as in `transcribe`.
            sample_rate: likewise.
            hot_words: likewise.
            channels: likewise.
            threads: that compute, by default those of the recognizer. 1 is best where other
                threads transcribe other recordings.

        Raises:
            AudioError: the recording cannot be read; after some parts, where it is damaged later.
            ConfigurationError: ``channels`` is neither, or ``threads`` below 1.
            DecodingError: the hot words are not valid.
        """
        separate = validated_channels(channels) == "separate"
        count = _counted_threads(threads) or self.threads
        if hot_words is not None:
            # Where nothing is said, too, invalid ones are an error.
            self.decoder.decode_batch([], hot_words=hot_words)
        yield from self._parts(source, sample_rate, hot_words, count, separate)

    def _parts(
        self,
        source: str | Path | BinaryIO | npt.NDArray[Any],
        sample_rate: int,
        hot_words: HotWords | None,
        threads: int,
        separate: bool = False,
    ) -> Iterator[TranscriptPart]:
        """Do what `transcribe_parts` does, with ``threads``, of which this one is one."""
        wanted = self.bundle.features.sample_rate
        ahead = 0 if threads == 1 else 2 * threads

        def transcribe(waveform: Array) -> Transcript:
            return self.transcribe_waveforms([waveform], hot_words)[0]

        with HelpedPool(transcribe, threads) as pool:
            begin: BeginTranscript = pool.begin
            if (batched := self._batched) is not None:
                ahead = _CUDA_TOGETHER

                def begin(waveform: Array) -> PendingTranscript:
                    return batched.begin((waveform, hot_words))

            if isinstance(source, np.ndarray):
                waveform = audio.from_array(source, sample_rate, wanted, separate)
                if separate and waveform.ndim == 1:
                    waveform = waveform[:, None]
                starts = range(0, len(waveform), wanted)
                blocks = (waveform[start : start + wanted] for start in starts)
                yield from transcribe_sections([blocks], wanted, begin, ahead=ahead)
                return
            _check_source(source)
            with (
                audio.opened(source, wanted, separate) as recording,
                closing(
                    transcribe_sections(recording.sections, wanted, begin, ahead=ahead)
                ) as parts,
            ):
                for part in parts:
                    yield replace(part, declared_duration=recording.duration)

    def transcribe_recordings(self, waveforms: Sequence[Array]) -> list[Transcript]:
        """Transcribe many recordings in parallel, each as `transcribe` does.

        Args:
            waveforms: ``(samples,)`` float32 each, at the sample rate of the model's features.
        """
        rate = self.bundle.features.sample_rate

        def transcribe(waveform: Array) -> Transcript:
            return join_parts(self._parts(waveform, rate, None, threads=1))

        # Those of a GPU wait most of the time, together.
        threads = self.threads if self._batched is None else _CUDA_TOGETHER
        return in_threads(transcribe, waveforms, threads)

    def _transcribe_queued(
        self, chunks: Sequence[tuple[Array, HotWords | None]]
    ) -> list[Transcript]:
        """Transcribe chunks of any recordings; those in a row with equal hot words together."""
        return [
            transcript
            for hot_words, group in groupby(chunks, key=lambda chunk: chunk[1])
            for transcript in self.transcribe_waveforms([each for each, _ in group], hot_words)
        ]

    def transcribe_waveforms(
        self, waveforms: Sequence[Array], hot_words: HotWords | None = None
    ) -> list[Transcript]:
        """Transcribe many utterances in parallel, each as a whole, without detecting speech first.

        Args:
            waveforms: ``(samples,)`` float32 each, at the sample rate of the model's features.
            hot_words: as in `transcribe`.

        Raises:
            DecodingError: the hot words are not valid.
        """
        rows = self.log_probabilities(waveforms)
        used = [index for index, frames in enumerate(rows) if len(frames)]
        started = time.perf_counter()
        found = self.decoder.decode_batch([rows[i] for i in used], self.threads, hot_words)
        self.observe("search", time.perf_counter() - started)
        transcripts = [Transcript((), 0.0) for _ in waveforms]
        for index, transcript in zip(used, found, strict=True):
            transcripts[index] = transcript
        rate = self.bundle.features.sample_rate
        return [
            transcript.clipped(len(waveform) / rate)
            for transcript, waveform in zip(transcripts, waveforms, strict=True)
        ]

    def log_probabilities(self, waveforms: Sequence[Array]) -> list[Array]:
        """Return the model's output for each of ``waveforms``.

        Args:
            waveforms: ``(samples,)`` float32 each, at the sample rate of the model's features.

        Returns:
            ``(output frames, columns)`` float32 each, natural logarithms: over the alphabet, its
            blank last, and of a model that hears phones then over these (`Bundle.phones`); no
            frame for a waveform that is too short for one frame of features.
        """
        results = [np.empty((0, self.bundle.outputs), np.float32) for _ in waveforms]
        frames = [self.bundle.features.frames(len(waveform)) for waveform in waveforms]
        # On a GPU features are what takes many threads, else batches of both.
        outer, inner = (self.threads, 1) if self._batched is None else (1, self.threads)
        most = _BATCH_FRAMES[self.bundle.precision] if self._batched is None else _CUDA_FRAMES
        batches = list(_batches(frames, most))

        def compute(batch: list[int]) -> list[Array]:
            started = time.perf_counter()
            features = in_threads(self._log_mel, [waveforms[index] for index in batch], inner)
            extracted = time.perf_counter()
            found = self._network.run(features)
            self.observe("features", extracted - started)
            self.observe("network", time.perf_counter() - extracted)
            return found

        computed = in_threads(compute, batches, outer)
        for batch, rows in zip(batches, computed, strict=True):
            for index, row in zip(batch, rows, strict=True):
                results[index] = row
        return results


def load_model(
    path: str | Path | None = None,
    *,
    threads: int | None = None,
    decoder: Literal["greedy", "beam"] | None = None,
    language_model: str | Path | None = None,
    precision: Literal["int8", "float32"] | None = None,
    frequency_warps: Sequence[float] | None = None,
    streaming: bool = False,
    n_best: int | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    loader: Executor | None = None,
) -> Recognizer:
    """Load a model.

    Args:
        path: a model bundle, folder or zip; by default, and where there is no such file,
            ``"bundled"``, the English model of the package.
        threads: that compute, an utterance each; by default one per core.
        decoder: ``"greedy"`` or ``"beam"``; by default the beam search where there is a scorer.
        language_model: a scorer in place of the bundle's, ``"bundled"`` for that of the English
            model, or ``"none"``.
        precision: ``"int8"`` or ``"float32"``; by default int8 where the bundle has it.
        frequency_warps: in place of the bundle's, see
            `plainspeech.runtime.frequency_warps.FrequencyWarps`; ``[1]`` runs the network once,
            which is faster and errs more.
        streaming: use its streaming network.
        n_best: length of the n-best list of each segment, see `Segment.n_best`; None makes none.
            For the beam search only.
        device: ``"cuda"`` runs the network, in float32, in batches on a GPU; where that is not
            possible, the processor computes, with a `plainspeech.runtime.devices.DeviceWarning`.
            Not to be used after a fork. Never tested with a GPU so far.
        loader: loads the decoder while the first recording is read already; what is wrong with
            decoder or language model is raised with its first text then. By default all is loaded
            at the end.

    Raises:
        ConfigurationError: an argument is not valid, or needs another one.
        ModelError: there is no bundle, it is damaged, or it has no such network.
        LanguageModelError: there is no scorer, it is damaged, or it does not fit the model.
    """
    if device == "cuda" and precision == "int8":
        raise ConfigurationError("device cuda: int8 is for processors; choose precision float32")
    if not (loader is None or isinstance(loader, Executor)):
        raise ConfigurationError(
            wrong_type("loader", loader, "pass an executor, such as a ThreadPoolExecutor")
        )
    usable = usable_device(device)
    bundle = Bundle.load(named_model(path))
    if streaming:
        if bundle.streaming is None:
            raise ModelError(f"{bundle.origin}: has no streaming network")
        bundle = bundle.streaming
    if usable == "cuda":
        precision = "float32"
    if precision is not None:
        bundle = bundle.in_precision(precision)
    if frequency_warps is not None:
        bundle = bundle.with_frequency_warps(frequency_warps)
    with ThreadPoolExecutor(1) as pool:
        # Loading a scorer takes half a second, in which another core can load the network.
        opening = pool.submit(open_network, bundle, usable)
        choose = partial(choose_decoder, bundle, decoder, language_model, n_best)
        chosen = choose() if loader is None else LoadingDecoder(loader.submit(choose))
        network = opening.result()
        return Recognizer(bundle, threads, chosen, network, network.device)


def _ignore(stage: str, seconds: float) -> None:
    """Be told of a stage, where nobody asked."""


def _counted_threads(threads: int | None) -> int | None:
    return None if threads is None else require_count("threads", threads)


def _check_source(source: object) -> None:
    """Refuse what is neither a path nor a file."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        raise AudioError("source: is bytes; wrap the content of a file in io.BytesIO")
    if not (isinstance(source, (str, Path)) or hasattr(source, "read")):
        raise AudioError(wrong_type("source", source, "pass a path, a binary file or an array"))


def _batches(frames: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the indices of ``frames`` in batches of like lengths; those of length 0 are left out.

    A batch takes ``most`` frames, or one utterance where that is longer.
    """
    batch: list[int] = []
    # From the longest: the first of a batch tells what all the others are padded to.
    for index in sorted(range(len(frames)), key=lambda index: -frames[index]):
        if batch and frames[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        if frames[index]:
            batch.append(index)
    if batch:
        yield batch
