"""Sources of live audio: a microphone, a pipe, or a recording played in real time."""

from __future__ import annotations

import queue
import sys
import time
import wave
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from plainspeech.cli.terminal import needs
from plainspeech.errors import AudioError, ConfigurationError

if TYPE_CHECKING:
    from io import BufferedReader

    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")

_BLOCK_SECONDS = 0.032
_RAW_RATE = 16_000
_LARGEST_WAV = 0x7FF00000  # bytes
_LONGEST_QUEUE = round(10 / _BLOCK_SECONDS)  # blocks; a longer queue would only add latency


@dataclass(frozen=True)
class AudioBlock:
    """The audio since the block before.

    Attributes:
        waveform: ``(samples,)``; empty where none has arrived for a while.
        recorded: when the last sample was recorded, by `time.monotonic`.
    """

    waveform: npt.NDArray[np.float32]
    recorded: float


class AudioSource(Protocol):
    """A source of live audio."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def lost(self) -> bool:
        """Whether audio was lost because it was not read in time."""

    def blocks(self, rate: int) -> Generator[AudioBlock, None, None]:
        """Yield audio at ``rate`` Hz in real time: each block has all since the one before."""

    def stop(self) -> None:
        """End the audio here; for signal handlers."""


class Playback:
    """A recording that is played in real time."""

    lost = False

    def __init__(self, file: Path) -> None:
        self._stopped = False
        self._file = file
        self.name = str(file)

    def blocks(self, rate: int) -> Generator[AudioBlock, None, None]:
        """Yield the recording.

        Raises:
            AudioError: it cannot be read; after some blocks, where it is damaged later.
        """
        from plainspeech.audio import opened

        with opened(self._file, rate) as recording:
            began, done, least = time.monotonic(), 0, round(_BLOCK_SECONDS * rate)
            for block in recording.blocks:
                end = done + len(block)
                while done < end:
                    if self._stopped:
                        return
                    due = round((time.monotonic() - began) * rate)
                    until = min(max(done + least, due), end)
                    recorded = began + until / rate
                    time.sleep(max(0.0, recorded - time.monotonic()))
                    yield AudioBlock(block[done - end : len(block) + until - end], recorded)
                    done = until

    def stop(self) -> None:
        """End it."""
        self._stopped = True


class StandardInput:
    """Audio as another program records or receives it: WAV, or raw samples of 16 kHz, one channel.

    Samples are of 16 bits, little-endian. The mean of several channels is taken.

    Args:
        stream: that is read.
    """

    name = "standard input"
    lost = False

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        self._waiting = False
        self._stopped = False

    def blocks(self, rate: int) -> Generator[AudioBlock, None, None]:
        """Yield the audio as it arrives.

        Raises:
            AudioError: it is in another format.
        """
        from plainspeech.audio import resampled

        header = self._read(self._header)
        if header is None:
            return
        given, channels, left = header
        for waveform in resampled(self._samples(given, channels, left), given, rate):
            yield AudioBlock(waveform, time.monotonic())

    def stop(self) -> None:
        """End the audio, also where its next bytes may never arrive.

        Raises:
            KeyboardInterrupt: that is so; `blocks` takes it for the end.
        """
        self._stopped = True
        if self._waiting:
            raise KeyboardInterrupt

    def _read(self, read: Callable[[], T]) -> T | None:
        """Return what ``read`` does, None where it was stopped before or meanwhile."""
        try:
            self._waiting = True
            found = None if self._stopped else read()
            self._waiting = False
        except KeyboardInterrupt:
            if not self._stopped:
                raise
            return None
        return found

    def _samples(self, rate: int, channels: int, left: int) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the samples in the ``left`` bytes that follow, or until there are no more."""
        import numpy as np

        frame = 2 * channels
        most = round(_BLOCK_SECONDS * rate) * frame
        while data := self._read(partial(self._stream.read, min(most, left))):
            left -= len(data)
            samples = np.frombuffer(data[: len(data) // frame * frame], "<i2")
            yield samples.reshape(-1, channels).mean(axis=1, dtype=np.float32) / np.float32(32768)

    def _header(self) -> tuple[int, int, int]:
        """Return rate, channels and bytes of the samples that follow, and pass over a header."""
        first = self._stream.peek(4)[:4]
        if first in (b"fLaC", b"OggS") or first[:3] == b"ID3":
            raise AudioError(
                f"{self.name}: listening takes WAV or raw samples of 16 bits; "
                f"'plainspeech transcribe -' takes any format"
            )
        if first != b"RIFF":
            return _RAW_RATE, 1, sys.maxsize
        try:
            wav = wave.open(self._stream)  # noqa: SIM115  (closing it would close the stream)
        except (wave.Error, EOFError) as error:
            raise AudioError(f"{self.name}: is no WAV of 16-bit samples: {error}") from error
        if wav.getsampwidth() != 2:
            raise AudioError(
                f"{self.name}: has samples of {8 * wav.getsampwidth()} bits; send 16 bits"
            )
        size = 2 * wav.getnchannels() * wav.getnframes()
        # Who does not know the length yet writes none, or the largest that there is.
        known = 0 < size < _LARGEST_WAV
        return wav.getframerate(), wav.getnchannels(), size if known else sys.maxsize


class Microphone:
    """An audio input of this machine, by PortAudio.

    Args:
        device: its number, or a part of its name that no other has; None takes the default one.

    Raises:
        ConfigurationError: there is no such input, or PortAudio is not installed.
    """

    def __init__(self, device: str | None) -> None:
        self._library = _sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        found = self._found()
        self.name = str(found["name"])
        self._rate = round(found["default_samplerate"])
        self.lost = False
        self._stopped = False
        self._waiting: queue.SimpleQueue[AudioBlock] = queue.SimpleQueue()

    def blocks(self, rate: int) -> Generator[AudioBlock, None, None]:
        """Yield its audio until it is stopped.

        Raises:
            AudioError: it cannot be opened, or was disconnected.
        """
        import numpy as np

        from plainspeech.audio import resampler

        resample, nothing = resampler(self._rate, rate), np.empty(0, np.float32)
        with self._stream() as stream:
            while not self._stopped:
                taken = self._taken()
                if not taken and not stream.active:
                    raise AudioError(f"{self.name}: was disconnected")
                samples = [nothing, *(block.waveform for block in taken)]
                recorded = taken[-1].recorded if taken else time.monotonic()
                yield AudioBlock(resample(np.concatenate(samples)), recorded)

    def stop(self) -> None:
        """End the audio."""
        self._stopped = True

    def _found(self) -> dict[str, Any]:
        try:
            return dict(self._library.query_devices(self._device, "input"))
        except (ValueError, self._library.PortAudioError):
            inputs = [
                f"{number} {device['name']!r}"
                for number, device in enumerate(self._library.query_devices())
                if device["max_input_channels"]
            ]
        if not inputs:
            raise ConfigurationError("no microphone was found") from None
        fault = (
            "there is no default microphone; choose one"
            if self._device is None
            else f"{self._device!r} is not one"
        )
        raise ConfigurationError(f"--device: {fault} of the microphones {', '.join(inputs)}")

    def _stream(self) -> Any:
        try:
            return self._library.InputStream(
                samplerate=self._rate,
                blocksize=round(_BLOCK_SECONDS * self._rate),
                device=self._device,
                channels=1,
                dtype="float32",
                callback=self._on_audio,
            )
        except self._library.PortAudioError as error:
            raise AudioError(f"{self.name}: cannot be opened: {error}") from error

    def _on_audio(self, samples: npt.NDArray[np.float32], _: int, __: Any, status: Any) -> None:
        """Take a block, ``(samples, 1)``, in a thread of PortAudio."""
        if self._waiting.qsize() < _LONGEST_QUEUE:
            self._waiting.put(AudioBlock(samples[:, 0].copy(), time.monotonic()))
            self.lost |= bool(status.input_overflow)
        else:
            self.lost = True

    def _taken(self) -> list[AudioBlock]:
        """Return all blocks that are waiting; if there is none, wait a moment."""
        try:
            taken = [self._waiting.get(timeout=0.1)]
        except queue.Empty:
            return []
        while not self._waiting.empty():
            taken.append(self._waiting.get())
        return taken


def _sounddevice() -> Any:
    with needs("listen"):
        try:
            import sounddevice
        except OSError as error:
            raise ConfigurationError(
                f"{error}; on Debian and Ubuntu: apt install libportaudio2"
            ) from error
    return sounddevice
