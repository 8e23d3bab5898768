"""From recordings to transcripts by an ONNX model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.errors import PlainspeechError
from plainspeech.features import LogMel
from plainspeech.runtime.bundle import Bundle, bundled_model_path
from plainspeech.runtime.decoders import Decoder, choose_decoder
from plainspeech.runtime.long_audio import Heard, listen, whole
from plainspeech.transcript import Transcript

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from plainspeech.decoding.decoder import HotWords

Array = npt.NDArray[np.float32]

_INPUTS = ["features", "lengths"]
_OUTPUTS = ["log_probabilities", "output_lengths"]
_BATCH_FRAMES = 20_000  # padding included: 200 s of speech, which bounds the memory of a batch


class Recognizer:
    """A model that is ready to transcribe.

    The ONNX model takes ``features``, float32 ``(batch, frames, bins)`` padded with anything, and
    ``lengths``, int64 ``(batch,)``; it gives ``log_probabilities``, float32
    ``(batch, output frames, symbols)`` with natural logarithms and the blank last, and
    ``output_lengths``, int64 ``(batch,)``. Padding has no influence on what it gives.

    Args:
        bundle: the model.
        threads: to compute with; None takes one a core.
        decoder: makes text of what the model gives; None takes the beam search where the bundle
            has a scorer, greedy decoding elsewhere.

    Attributes:
        bundle: the model.
        decoder: makes text of what the model gives.

    Raises:
        PlainspeechError: the model is not such an ONNX model, or its scorer is damaged.
    """

    def __init__(
        self, bundle: Bundle, threads: int | None = None, decoder: Decoder | None = None
    ) -> None:
        self.bundle = bundle
        self.decoder = choose_decoder(bundle) if decoder is None else decoder
        self._threads = threads or os.cpu_count() or 1
        self._log_mel = LogMel(bundle.features)
        self._session = _session(bundle, threads)

    def transcribe(
        self,
        source: str | Path | BinaryIO | npt.NDArray[Any],
        sample_rate: int = audio.SAMPLE_RATE,
        hot_words: HotWords | None = None,
    ) -> Transcript:
        """Transcribe one recording of any length; `listen` gives its parts as they are heard.

        Args:
            source: path, binary file, or waveform ``(samples,)``: floats in [-1, 1], or integers.
            sample_rate: Hz, of a waveform; files say theirs.
            hot_words: words and phrases, each with the nats that an occurrence is worth; for the
                beam search only.

        Raises:
            PlainspeechError: the recording cannot be read, or these are no hot words.
        """
        return whole(self.listen(source, sample_rate, hot_words))

    def listen(
        self,
        source: str | Path | BinaryIO | npt.NDArray[Any],
        sample_rate: int = audio.SAMPLE_RATE,
        hot_words: HotWords | None = None,
    ) -> Iterator[Heard]:
        """Yield what is said in a recording as it is heard, in bounded memory.

        Up to 30 s are transcribed at once, as `transcribe_waveforms` does; what is longer is cut
        where the speaker pauses, see `plainspeech.runtime.pieces`.

        Args:
            source: as in `transcribe`.
            sample_rate: likewise.
            hot_words: likewise.

        Raises:
            PlainspeechError: the recording cannot be read, at its end perhaps, or these are no hot
                words.
        """
        wanted = self.bundle.features.sample_rate
        hear = partial(self.transcribe_waveforms, hot_words=hot_words)
        if isinstance(source, np.ndarray):
            waveform = audio.from_array(source, sample_rate, wanted)
            blocks = (waveform[start : start + wanted] for start in range(0, len(waveform), wanted))
            yield from listen(blocks, wanted, hear)
            return
        with audio.opened(source, wanted) as recording:
            for heard in listen(recording.blocks, wanted, hear):
                yield replace(heard, promised=recording.duration)

    def transcribe_waveforms(
        self, waveforms: Sequence[Array], hot_words: HotWords | None = None
    ) -> list[Transcript]:
        """Transcribe many recordings, which takes less time than one by one.

        Args:
            waveforms: ``(samples,)`` float32 each, at the sample rate of the model's features.
            hot_words: as in `transcribe`.

        Raises:
            PlainspeechError: these are no hot words.
        """
        rows = self.log_probabilities(waveforms)
        heard = [index for index, frames in enumerate(rows) if len(frames)]
        found = self.decoder.decode_batch([rows[i] for i in heard], self._threads, hot_words)
        transcripts = [Transcript("", (), 0.0) for _ in waveforms]
        for index, transcript in zip(heard, found, strict=True):
            transcripts[index] = transcript
        rate = self.bundle.features.sample_rate
        return [
            _within(transcript, len(waveform) / rate)
            for transcript, waveform in zip(transcripts, waveforms, strict=True)
        ]

    def log_probabilities(self, waveforms: Sequence[Array]) -> list[Array]:
        """Return what the model gives for each of ``waveforms``.

        Args:
            waveforms: ``(samples,)`` float32 each, at the sample rate of the model's features.

        Returns:
            ``(output frames, symbols)`` float32 each, natural logarithms, the blank last; no frame
            for a waveform that is too short for one frame of features.
        """
        results = [np.empty((0, self.bundle.alphabet.size), np.float32) for _ in waveforms]
        settings = self.bundle.features
        for batch in _batches([settings.frames(len(waveform)) for waveform in waveforms]):
            features = [self._log_mel(waveforms[index]) for index in batch]
            for index, result in zip(batch, self._run(features), strict=True):
                results[index] = result
        return results

    def _run(self, features: Sequence[Array]) -> Iterator[Array]:
        lengths = np.array([len(rows) for rows in features], np.int64)
        padded = np.zeros((len(features), lengths.max(), features[0].shape[1]), np.float32)
        for place, rows in zip(padded, features, strict=True):
            place[: len(rows)] = rows
        inputs = dict(zip(_INPUTS, (padded, lengths), strict=True))
        outputs, output_lengths = self._session.run(_OUTPUTS, inputs)
        for rows, length in zip(outputs, output_lengths.tolist(), strict=True):
            yield rows[:length].copy()  # a view would keep the whole batch


def load_model(
    path: str | Path | None = None,
    threads: int | None = None,
    decoder: str | None = None,
    language_model: str | Path | None = None,
) -> Recognizer:
    """Load a model.

    Args:
        path: a model bundle, folder or zip; None takes the English model of the package.
        threads: to compute with; None takes one a core.
        decoder: ``"greedy"`` or ``"beam"``; None takes the beam search where there is a scorer.
        language_model: a scorer in place of the bundle's, or ``"none"``.

    Raises:
        PlainspeechError: there is no bundle or scorer, it is damaged, or the two do not fit.
    """
    bundle = Bundle.load(bundled_model_path() if path is None else path)
    return Recognizer(bundle, threads, choose_decoder(bundle, decoder, language_model))


def _within(transcript: Transcript, duration: float) -> Transcript:
    """Return ``transcript`` for audio of so many seconds: its last frame may reach beyond them."""
    words = tuple(replace(word, end=min(word.end, duration)) for word in transcript.words)
    return replace(transcript, words=words, duration=duration)


def _batches(frames: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of ``frames`` in batches of like lengths; those of length 0 are left out.

    A batch takes `_BATCH_FRAMES` frames, or one utterance where that is longer.
    """
    batch: list[int] = []
    # From the longest: the first of a batch tells what all the others are padded to.
    for index in sorted(range(len(frames)), key=lambda index: -frames[index]):
        if batch and frames[batch[0]] * (len(batch) + 1) > _BATCH_FRAMES:
            yield batch
            batch = []
        if frames[index]:
            batch.append(index)
    if batch:
        yield batch


def _session(bundle: Bundle, threads: int | None) -> InferenceSession:
    # Here, so that the command line starts and `plainspeech.training` imports without it.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # what is fatal comes as an exception too
    try:
        session = onnxruntime.InferenceSession(
            bundle.model, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of classes that onnxruntime does not export
        reason = str(error).splitlines()[0]
        raise PlainspeechError(
            f"{bundle.origin}: onnxruntime refuses its model: {reason}"
        ) from error
    _check_contract(bundle, session)
    return session


def _check_contract(bundle: Bundle, session: InferenceSession) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [node.name for node in inputs], [node.name for node in outputs]
    if names != (_INPUTS, _OUTPUTS):
        raise PlainspeechError(
            f"{bundle.origin}: its model takes {names[0]} and gives {names[1]}; "
            f"it must take {_INPUTS} and give {_OUTPUTS}"
        )
    for node, size in ((inputs[0], bundle.features.bins), (outputs[0], bundle.alphabet.size)):
        if len(node.shape) != 3 or node.shape[2] != size:
            raise PlainspeechError(
                f"{bundle.origin}: {node.name} of its model has the shape {node.shape}; "
                f"its bundle.json asks for {size} in the last place"
            )
