"""What ``plainspeech listen`` hears: a microphone, or a recording at the pace of speech."""

from __future__ import annotations

import queue
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from plainspeech.cli.extras import needs
from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SECONDS = 0.032  # that are taken together
_MOST = round(10 / _SECONDS)  # blocks that wait; more would only make the text later


@dataclass(frozen=True)
class Sound:
    """What has been heard since the last time.

    Attributes:
        waveform: ``(samples,)``; none where nothing has come for a while.
        spoken: when the last of them was, by `time.monotonic`.
    """

    waveform: npt.NDArray[np.float32]
    spoken: float


class Source(Protocol):
    """Where sounds come from."""

    @property
    def name(self) -> str:
        """As users know it."""

    @property
    def lost(self) -> bool:
        """Whether sounds have been lost because nobody took them in time."""

    def sounds(self, rate: int) -> Generator[Sound, None, None]:
        """Yield what is heard, at ``rate`` Hz, when it is heard: all of it since the last time."""


class Playback:
    """A recording that is heard as if somebody spoke."""

    lost = False

    def __init__(self, file: Path) -> None:
        self._file = file
        self.name = str(file)

    def sounds(self, rate: int) -> Generator[Sound, None, None]:
        """Yield the recording.

        Raises:
            PlainspeechError: it cannot be read, at its end perhaps.
        """
        from plainspeech.audio import opened

        with opened(self._file, rate) as recording:
            began, done, least = time.monotonic(), 0, round(_SECONDS * rate)
            for block in recording.blocks:
                end = done + len(block)
                while done < end:
                    due = round((time.monotonic() - began) * rate)
                    until = min(max(done + least, due), end)
                    spoken = began + until / rate
                    time.sleep(max(0.0, spoken - time.monotonic()))
                    yield Sound(block[done - end : len(block) + until - end], spoken)
                    done = until


class Microphone:
    """An input of this machine, by PortAudio.

    Args:
        device: its number, or a part of its name that no other has; None takes the usual one.

    Raises:
        PlainspeechError: there is none such, or what it takes to use it is not installed.
    """

    def __init__(self, device: str | None) -> None:
        self._library = _sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        found = self._found()
        self.name = str(found["name"])
        self._rate = round(found["default_samplerate"])
        self.lost = False
        self._waiting: queue.SimpleQueue[Sound] = queue.SimpleQueue()

    def sounds(self, rate: int) -> Generator[Sound, None, None]:
        """Yield what it hears until it is closed.

        Raises:
            PlainspeechError: it cannot be opened, or is no longer there.
        """
        import numpy as np

        from plainspeech.audio import resampler

        resample, nothing = resampler(self._rate, rate), np.empty(0, np.float32)
        with self._stream() as stream:
            while True:
                taken = self._taken()
                if not taken and not stream.active:
                    raise PlainspeechError(f"{self.name}: is no longer there")
                samples = [nothing, *(sound.waveform for sound in taken)]
                spoken = taken[-1].spoken if taken else time.monotonic()
                yield Sound(resample(np.concatenate(samples)), spoken)

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
            raise PlainspeechError("no microphone was found") from None
        wanted = "there is no usual one" if self._device is None else f"{self._device!r} is none"
        raise PlainspeechError(f"--device: {wanted} of the microphones {', '.join(inputs)}")

    def _stream(self) -> Any:
        try:
            return self._library.InputStream(
                samplerate=self._rate,
                blocksize=round(_SECONDS * self._rate),
                device=self._device,
                channels=1,
                dtype="float32",
                callback=self._hear,
            )
        except self._library.PortAudioError as error:
            raise PlainspeechError(f"{self.name}: cannot be opened: {error}") from error

    def _hear(self, samples: npt.NDArray[np.float32], _: int, __: Any, status: Any) -> None:
        """Take a block, ``(samples, 1)``, in a thread of PortAudio's."""
        if self._waiting.qsize() < _MOST:
            self._waiting.put(Sound(samples[:, 0].copy(), time.monotonic()))
            self.lost |= bool(status.input_overflow)
        else:
            self.lost = True

    def _taken(self) -> list[Sound]:
        """Return all that waits; wait a moment if nothing does."""
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
            raise PlainspeechError(
                f"{error}; on Debian and Ubuntu: apt install libportaudio2"
            ) from error
    return sounddevice
