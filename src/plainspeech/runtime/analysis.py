"""What a model makes of one recording, with everything in between, for figures and explanations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import AudioError
from plainspeech.features import FeatureSettings
from plainspeech.runtime import vad
from plainspeech.runtime.chunking import Chunker
from plainspeech.runtime.decoders import letters_of
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.transcript import Transcript

LONGEST_SECONDS = 60.0
"""Of a recording that is analysed: beyond it a figure cannot be read any more."""


@dataclass(frozen=True)
class AnalysedChunk:
    """A part of a recording that holds speech, which the model saw as one utterance.

    Attributes:
        start: seconds from the start of the recording.
        log_probabilities: ``(frames, symbols)``, the network's output, the blank last.
        transcript: of the chunk, with times from the start of the recording.
    """

    start: float
    log_probabilities: Array
    transcript: Transcript


@dataclass(frozen=True)
class Analysis:
    """A recording, the network's outputs and the text.

    Attributes:
        waveform: ``(samples,)`` float32.
        features: settings of the model's features; its sample rate is the waveform's.
        frame_seconds: from one row of log-probabilities to the next.
        symbols: that were decoded, without the blank: characters, or names of phones.
        columns: of the log-probabilities over these and the blank; None for all.
        chunks: in order, without the silence between them.
    """

    waveform: Array
    features: FeatureSettings
    frame_seconds: float
    symbols: tuple[str, ...]
    columns: slice | None
    chunks: tuple[AnalysedChunk, ...]

    @property
    def duration(self) -> float:
        """Seconds of the recording."""
        return len(self.waveform) / self.features.sample_rate

    @property
    def transcript(self) -> Transcript:
        """Of the recording."""
        segments = (s for chunk in self.chunks for s in chunk.transcript.segments)
        return Transcript(tuple(segments), self.duration)

    @property
    def text(self) -> str:
        """What was recognised."""
        return self.transcript.text


def analyse(recognizer: Recognizer, source: str | Path | BinaryIO) -> Analysis:
    """Transcribe a recording as `Recognizer.transcribe` does, and keep what it is made from.

    Args:
        recognizer: the model.
        source: path or binary file; a recording of at most `LONGEST_SECONDS`.

    Raises:
        AudioError: the recording cannot be read, or is longer.
    """
    settings = recognizer.bundle.features
    waveform = audio.read(source, settings.sample_rate)
    seconds = len(waveform) / settings.sample_rate
    if seconds > LONGEST_SECONDS:
        raise AudioError(
            f"{source}: lasts {seconds:.0f} s; cut it to {LONGEST_SECONDS:.0f} s or less"
        )
    return analyse_waveform(recognizer, waveform)


def analyse_waveform(recognizer: Recognizer, waveform: Array) -> Analysis:
    """Do what `analyse` does.

    Args:
        recognizer: the model.
        waveform: ``(samples,)`` float32, at the sample rate of the model's features.
    """
    settings = recognizer.bundle.features
    chunker = Chunker(settings.sample_rate, vad.silero_detector())
    found = [*chunker.feed(waveform), *chunker.finish()]
    # Where no pause parts two chunks they overlap, so that no word is cut; the second half of the
    # overlap is the later one's here.
    halves = [chunk.overlap // 2 for chunk in found]
    pieces = [
        chunk.waveform[half : len(chunk.waveform) - (following - following // 2)]
        for chunk, half, following in zip(
            found, halves, [*(chunk.overlap for chunk in found[1:]), 0], strict=False
        )
    ]
    rows = recognizer.log_probabilities(pieces)
    kept = [place for place, frames in enumerate(rows) if len(frames)]
    transcripts = recognizer.decoder.decode_batch([rows[place] for place in kept])
    chunks = []
    for place, transcript in zip(kept, transcripts, strict=True):
        start = (found[place].start + halves[place]) / settings.sample_rate
        clipped = transcript.clipped(len(pieces[place]) / settings.sample_rate)
        segments = tuple(segment.shifted(start) for segment in clipped.segments)
        chunks.append(AnalysedChunk(start, rows[place], Transcript(segments, clipped.duration)))
    return Analysis(
        waveform,
        settings,
        recognizer.bundle.frame_seconds,
        *_decoded(recognizer),
        tuple(chunks),
    )


def _decoded(recognizer: Recognizer) -> tuple[tuple[str, ...], slice | None]:
    """Return the symbols that the decoder takes, and the columns that are over them."""
    spoken = getattr(recognizer.decoder, "spoken", None)
    letters = letters_of(recognizer.bundle)
    if spoken is None:
        return recognizer.bundle.alphabet.symbols, letters
    return (" ", *recognizer.bundle.phones), slice(recognizer.bundle.alphabet.size, None)
