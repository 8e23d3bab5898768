"""Recordings that libsndfile reads: WAV, FLAC, MP3, Ogg Vorbis and Opus, AIFF and more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from typing import BinaryIO

import soundfile

from plainspeech.arrays import Array
from plainspeech.audio.containers import (
    check_header,
    check_last_page,
    finished_wav,
    ogg_links,
    whole,
    windows,
)
from plainspeech.audio.decoded import (
    BLOCK,
    DecodedAudio,
    Section,
    check_channels,
    check_complete,
    check_rate,
    check_samples,
)
from plainspeech.audio.mpeg import begins_as_mpeg, mpeg_parts
from plainspeech.errors import AudioError

_UNKNOWN_FRAMES = 2**62  # from here on: a FLAC that was written to a pipe does not say


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read from front to back.

    soundfile seeks after each read of a file that can seek; FLAC of unknown length cannot.
    """

    def seekable(self) -> bool:
        """Return False."""
        return False


def decode_with_libsndfile(name: str, stream: BinaryIO, stack: ExitStack) -> DecodedAudio:
    """Return the audio of ``stream``.

    Args:
        name: for messages.
        stream: that can seek, at its beginning.
        stack: closes the decoder.

    Raises:
        soundfile.LibsndfileError: it is nothing that libsndfile reads.
        AudioError: its header contradicts its size; while it is read, it is damaged or truncated.
    """
    magic = stream.read(4)
    stream.seek(0)
    if magic == b"OggS":
        check_last_page(name, stream)
        return _joined(name, windows(stream, ogg_links(stream)), stack)
    if magic == b"RIFF":
        if finished := finished_wav(stream):
            return _joined(name, iter([finished]), stack)
        return _joined(name, windows(stream, [whole(stream)]), stack)
    parts = mpeg_parts(name, stream) if begins_as_mpeg(stream) else []
    return _joined(name, windows(stream, parts or [whole(stream)]), stack)


def decode_mpeg(name: str, stream: BinaryIO, stack: ExitStack) -> DecodedAudio | None:
    """Return the audio of an MP3 that does not begin as one; None where ``stream`` is none at all.

    Args:
        name: for messages.
        stream: that can seek.
        stack: closes the decoder.

    Raises:
        AudioError: as `decode_with_libsndfile`.
    """
    parts = mpeg_parts(name, stream)
    try:
        return _joined(name, windows(stream, parts), stack) if parts else None
    except soundfile.LibsndfileError:  # what looked like frames is none
        return None


def _joined(name: str, parts: Iterator[BinaryIO], stack: ExitStack) -> DecodedAudio:
    """Return the audio of ``parts``, one after the other; each is asked for when it is read."""
    sound = stack.enter_context(_open(next(parts)))
    _check(name, sound)
    declared = _declared_frames(sound)
    others = list(islice(parts, 1))
    known = declared is not None and not others

    def sections() -> Iterator[Section]:
        yield Section(sound.samplerate, _blocks(name, sound))
        for part in chain(others, parts):
            with _open_next(name, part) as other:
                _check(name, other)
                yield Section(other.samplerate, _blocks(name, other))

    return DecodedAudio(sections(), declared / sound.samplerate if known and declared else None)


def _open_next(name: str, part: BinaryIO) -> ForwardFile:
    try:
        return _open(part)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{name}: damaged: consists of several recordings, and one after the first cannot be "
            f"read ({error.error_string.rstrip('.')})"
        ) from error


def _open(stream: BinaryIO) -> ForwardFile:
    try:
        return ForwardFile(stream)
    except TypeError as error:  # soundfile wants to be told what a name that ends in .raw holds
        raise soundfile.LibsndfileError(1) from error


def _check(name: str, sound: ForwardFile) -> None:
    check_rate(name, sound.samplerate)
    check_channels(name, sound.channels)
    check_header(name, sound)


def _declared_frames(sound: ForwardFile) -> int | None:
    """Return the frames that the header declares; None where it does not say."""
    return sound.frames if sound.frames < _UNKNOWN_FRAMES else None


def _blocks(name: str, sound: ForwardFile) -> Iterator[Array]:
    declared, done = _declared_frames(sound), 0
    while True:
        # Bytes after the last frame, such as a tag, are not audio.
        count = BLOCK if declared is None else min(BLOCK, declared - done)
        try:
            block = sound.read(count, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{name}: damaged or truncated: cannot be decoded beyond "
                f"{done / sound.samplerate:.1f} s ({error.error_string.rstrip('.')})"
            ) from error
        if not len(block):
            break
        check_samples(name, block)
        done += len(block)
        yield block
    check_complete(name, done, declared, sound.samplerate)
