"""Whether a file of sound holds what its container promises.

libsndfile corrects or passes over much that a truncated recording betrays itself by.
"""

from __future__ import annotations

import io
import re
from typing import BinaryIO

import soundfile

from plainspeech.errors import AudioError

UNKNOWN_FRAMES = 2**62
"""From here on: a FLAC that was written to a pipe does not say how long it is."""

_SLACK = 0.2  # seconds; encoders miscount their padding and their last packet
_LARGEST_PAGE = 65_307  # bytes, of Ogg

# libsndfile corrects sizes that cannot be and tells so in its log alone.
_CORRECTED = re.compile(
    r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
# What writers to a pipe put where the size of a WAV goes: ffmpeg the largest number, sox and
# espeak a little less than 2 GiB.
_UNKNOWN_SIZES = (range(0x7FFF_F000, 0x8000_0000), range(0xFFFF_F000, 0x1_0000_0000))


def check_last_page(name: str, stream: BinaryIO) -> None:
    """Refuse Ogg that is cut within a page; libsndfile takes it for shorter (RFC 3533, section 6).

    No header of Ogg tells how long it is.
    """
    stream.seek(max(0, stream.seek(0, io.SEEK_END) - _LARGEST_PAGE))
    tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    if len(page) < 27 + segments + sum(page[27 : 27 + segments]):
        raise AudioError(f"{name}: truncated: it ends within a page of Ogg")


def check_header(name: str, sound: soundfile.SoundFile) -> None:
    """Refuse a header that promises more than the size of its file leaves room for."""
    for promised, there in _CORRECTED.findall(sound.extra_info):
        if not any(int(promised) in sizes for sizes in _UNKNOWN_SIZES):
            frames = sound.frames * int(promised) / max(int(there), 1)
            check_complete(name, sound.frames, frames, sound.samplerate)


def check_complete(name: str, there: float, promised: float, rate: int) -> None:
    """Refuse ``there`` frames of the ``promised`` ones, at ``rate`` Hz."""
    if promised - there > _SLACK * rate and promised < UNKNOWN_FRAMES:
        raise AudioError(
            f"{name}: truncated: its header promises {promised / rate:.1f} s of audio, "
            f"{there / rate:.1f} s can be read"
        )
