"""The network's outputs of a whole recording, in a temporary file."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.cores import available_cores
from plainspeech.decoding.validation import validated
from plainspeech.errors import ConfigurationError
from plainspeech.runtime import vad
from plainspeech.runtime.chunking import Chunk, Chunker
from plainspeech.runtime.helped_pool import HelpedPool
from plainspeech.runtime.recognizer import Recognizer

Source = str | Path | BinaryIO | npt.NDArray[Any]
Progress = Callable[[float, float | None], object]
"""Is told how many seconds of a recording are done, and of how many, None if that is not known."""

T = TypeVar("T")

_IMPOSSIBLE = -50.0  # nats, of a symbol between two chunks


class RecordingOutputs:
    """Log-probabilities of all that is spoken in a recording.

    Between two chunks there is a frame that is blank or a space. The log-probabilities lie in a
    file; the best symbol of each frame is kept in memory.

    Args:
        file: empty, which is written to.
        model: makes them.

    Attributes:
        frame_seconds: from one frame to the next, within a chunk.
        duration: seconds of the recording.
    """

    def __init__(self, file: IO[bytes], model: Recognizer) -> None:
        bundle = model.bundle
        self._file = file
        self._columns = bundle.alphabet.size
        self.frame_seconds = bundle.frame_seconds
        self._rate = bundle.features.sample_rate
        self._between = np.full((1, self._columns), _IMPOSSIBLE, np.float32)
        self._between[0, bundle.alphabet.blank_id] = 0.0
        if " " in bundle.alphabet.symbols:
            self._between[0, bundle.alphabet.symbols.index(" ")] = 0.0
        self._frames = 0
        self._first_frames: list[int] = []  # of each chunk
        self._starts: list[float] = []  # seconds
        self._best: list[npt.NDArray[np.int32]] = []
        self.duration = 0.0

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, frames: slice) -> Array:
        start, stop, _ = frames.indices(self._frames)
        width = self._columns * 4
        self._file.seek(start * width)
        content = self._file.read(max(0, stop - start) * width)
        return np.frombuffer(content, np.float32).reshape(-1, self._columns)

    @property
    def best(self) -> npt.NDArray[np.int32]:
        """The best symbol of each frame, ``(frames,)``."""
        self._best = [np.concatenate([np.empty(0, np.int32), *self._best])]
        return self._best[0]

    def time(self, frame: int) -> float:
        """Return the seconds from the start of the recording to that of ``frame``."""
        chunk = int(np.searchsorted(self._first_frames, frame, "right")) - 1
        return self._starts[chunk] + (frame - self._first_frames[chunk]) * self.frame_seconds

    def add(self, chunk: Chunk, start: float, rows: Array, cut: int) -> None:
        """Append a chunk.

        Args:
            chunk: the next one.
            start: seconds from the start of the recording to that of its section.
            rows: its log-probabilities.
            cut: frames at its end that the next one has too.
        """
        skipped = 0
        if chunk.overlap:  # half of what the two have in common is cut from each
            skipped = round(chunk.overlap / self._rate / self.frame_seconds / 2)
        elif self._frames:
            self._append(self._between)
        kept = rows[skipped : max(skipped, len(rows) - cut)]
        if len(kept):
            self._first_frames.append(self._frames)
            begins = start + chunk.start / self._rate
            self._starts.append(begins + skipped * self.frame_seconds)
            self._append(validated(kept, self._columns))

    def _append(self, rows: Array) -> None:
        try:
            self._file.seek(0, 2)
            self._file.write(rows.tobytes())
        except OSError as error:
            folder = tempfile.gettempdir()
            raise ConfigurationError(
                f"{folder}: the outputs of the network cannot be written there: {error.strerror}"
            ) from error
        self._best.append(rows.argmax(axis=1).astype(np.int32))
        self._frames += len(rows)


@contextmanager
def computed(
    source: Source, sample_rate: int, model: Recognizer, progress: Progress
) -> Iterator[RecordingOutputs]:
    """Yield the outputs of ``model`` for a recording, which are removed in the end.

    Speech is found and cut into chunks as in transcription; the channels are mixed.

    Args:
        source: path, binary file, or waveform.
        sample_rate: Hz, of a waveform.
        model: its network computes.
        progress: is told how far it is.

    Raises:
        AudioError: the recording cannot be read.
    """
    rate = model.bundle.features.sample_rate
    with tempfile.TemporaryFile(prefix="plainspeech-") as file:
        outputs = RecordingOutputs(file, model)
        if isinstance(source, np.ndarray):
            waveform = audio.from_array(source, sample_rate, rate)
            blocks = (waveform[start : start + rate] for start in range(0, len(waveform), rate))
            _fill(outputs, [blocks], model, progress, len(waveform) / rate)
        else:
            with audio.opened(source, rate) as recording:
                _fill(outputs, recording.sections, model, progress, recording.duration)
        yield outputs


def _fill(
    outputs: RecordingOutputs,
    sections: Iterable[Iterable[Array]],
    model: Recognizer,
    progress: Progress,
    duration: float | None,
) -> None:
    """Compute the outputs of ``sections`` while they are read."""
    rate = model.bundle.features.sample_rate
    threads = available_cores()
    samples = 0

    def counted(blocks: Iterable[Array]) -> Iterator[Array]:
        nonlocal samples
        for block in blocks:
            yield block
            samples += len(block)
            progress(samples / rate, duration)

    def compute(chunk: Chunk) -> Array:
        return model.log_probabilities([chunk.waveform])[0][:, : model.bundle.alphabet.size]

    with HelpedPool(compute, threads) as pool:
        for section in sections:
            start = samples / rate
            tasks = map(pool.begin, _chunks(counted(section), rate))
            for task, following in _with_next(_ahead(tasks, 2 * threads)):
                overlap = following.item.overlap if following else 0
                cut = round(overlap / rate / model.bundle.frame_seconds / 2)
                outputs.add(task.item, start, task.result(), cut)
    outputs.duration = samples / rate


def _chunks(blocks: Iterable[Array], rate: int) -> Iterator[Chunk]:
    chunker = Chunker(rate, vad.silero_detector())
    for block in blocks:
        yield from chunker.feed(block)
    yield from chunker.finish()


def _ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """Yield ``items``, taking ``count`` of them in advance."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def _with_next(items: Iterable[T]) -> Iterator[tuple[T, T | None]]:
    """Yield each of ``items`` with the one that follows it, None at the end."""
    for item, following in pairwise(chain(items, [None])):
        assert item is not None, "only the end is"
        yield item, following
