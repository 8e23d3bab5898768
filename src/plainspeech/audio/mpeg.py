"""Where the frames of MPEG audio (MP3) are in a file.

Decoders stop where a second file was appended, for the first frame of each file declares its
length, and fail where anything else precedes it. So this module finds the frames: tags, zeros, junk
and incomplete frames are skipped, and a new part begins with every file that was appended and with
every change of the sample rate (ISO/IEC 11172-3, section 2.4.1; ID3v2.4, section 3.1).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import BinaryIO

from plainspeech.errors import AudioError

_MOST_JUNK = 1 << 20  # bytes that are neither frames nor tags, in a row and in all
_FRAMES_TO_JUNK = 16  # bytes of frames and tags for which there may be one more in all
_WINDOW = 1 << 16  # bytes that are read at a time
_AGREEING = 2  # frames that must follow the first of a part

# kbit/s by the index in the header; 0 is "free", 15 is forbidden.
_LAYER_2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BITRATES = {
    (1, 1): tuple(range(32, 449, 32)),
    (1, 2): _LAYER_2,
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): _LOW,
    (2, 3): _LOW,
}
_RATES = (44_100, 48_000, 32_000)  # Hz, of version 1; of 2 and 2.5, a half and a quarter
_BEGINS = re.compile(rb"\xff|ID3|TAG|APETAGEX")
_VERSIONS = {3: 1, 2: 2, 0: 4}  # what the rates are divided by


@dataclass(frozen=True)
class Frame:
    """The header of a frame.

    Attributes:
        kind: what all frames of a part have in common: divisor of the rate, layer, rate, mono.
        length: bytes, of the whole frame.
    """

    kind: tuple[int, int, int, bool]
    length: int

    @classmethod
    def parse(cls, header: bytes) -> Frame | None:
        """Return the frame that begins with these four bytes; None where none does."""
        if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
            return None
        version, layer = _VERSIONS.get(header[1] >> 3 & 3), 4 - (header[1] >> 1 & 3)
        bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
        if version is None or layer == 4 or bitrate in (0, 15) or rate == 3:
            return None
        hz, padding = _RATES[rate] // version, header[2] >> 1 & 1
        bits = 1000 * _BITRATES[min(version, 2), layer][bitrate - 1]
        if layer == 1:
            length = 4 * (12 * bits // hz + padding)
        else:
            length = (72 if layer == 3 and version > 1 else 144) * bits // hz + padding
        return cls((version, layer, hz, header[3] >> 6 == 3), length)

    @property
    def side_information(self) -> int:
        """Bytes between the header and where the first frame of a file tells how long it is."""
        version, _, _, mono = self.kind
        return (17 if mono else 32) if version == 1 else (9 if mono else 17)


def begins_as_mpeg(stream: BinaryIO) -> bool:
    """Whether the first thing in ``stream``, tags apart, is frames of MPEG audio."""
    data, place = _Bytes(stream), 0
    while tag := _tag(data, place):
        place += tag
    frame = Frame.parse(data.at(place, 4))
    return frame is not None and _agreed(data, place, frame)


def mpeg_parts(name: str, stream: BinaryIO) -> list[tuple[int, int]]:
    """Return where the parts of MPEG audio begin and end, in bytes; none of anything else.

    Args:
        name: for messages.
        stream: that can seek.

    Raises:
        AudioError: there is much data that is not audio, after a part or in all. Each byte of it
            may begin a frame, and is looked at.
    """
    data = _Bytes(stream)
    parts: list[tuple[int, int]] = []
    kind: object = None  # of the frames of the last part
    place = junk = 0  # junk: bytes since the last frame that are neither frame nor tag
    all_junk, too_much = 0, False
    while place < data.size:
        frame = Frame.parse(data.at(place, 4))
        joins = frame is not None and frame.kind == kind and place == parts[-1][1]
        joins = joins and not _tells_length(data, place, frame)
        if frame is not None and (joins or _agreed(data, place, frame)):
            begin = parts.pop()[0] if joins else place
            kind, place, junk = frame.kind, min(place + frame.length, data.size), 0
            parts.append((begin, place))
        elif tag := _tag(data, place):
            place += tag
        else:
            following = data.candidate(place + 1)
            junk, all_junk = junk + following - place, all_junk + following - place
            place = following
            room = _MOST_JUNK + (place - all_junk) // _FRAMES_TO_JUNK
            if too_much := junk > _MOST_JUNK or all_junk > room:
                break
    if parts and too_much:
        raise AudioError(
            f"{name}: damaged: after byte {parts[-1][1]} is much data that is not audio"
        )
    return parts


def _agreed(data: _Bytes, place: int, frame: Frame) -> bool:
    """Whether frames of the same kind follow, so that this is no accident."""
    for _ in range(_AGREEING):
        place += frame.length
        following = Frame.parse(data.at(place, 4))
        if following is None or following.kind != frame.kind:
            return place == data.size
        frame = following
    return True


def _tells_length(data: _Bytes, place: int, frame: Frame | None) -> bool:
    """Whether this is the first frame of a file, which holds the length of the file, no audio."""
    if frame is None or frame.kind[1] != 3:
        return False
    tag = data.at(place + 4 + frame.side_information, 4)
    return tag in (b"Xing", b"Info") or data.at(place + 36, 4) == b"VBRI"


def _tag(data: _Bytes, place: int) -> int:
    """Return the bytes of the tag at ``place``; 0 where there is none."""
    head = data.at(place, 32)
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        high, third, second, low = head[6:10]
        return 10 + (high << 21 | third << 14 | second << 7 | low)
    if head[:3] == b"TAG" and data.size - place == 128:
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        # The header's size counts what follows it; a footer alone has nothing after it.
        is_header = head[23] & 0x20
        return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    return 0


class _Bytes:
    """Random access to the bytes of a file, buffered for reading mostly forwards."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self._start, self._held = 0, b""

    def at(self, place: int, count: int) -> bytes:
        """Return ``count`` bytes from ``place`` on, fewer at the end."""
        offset = place - self._start
        if not 0 <= offset <= len(self._held) - count:
            self._stream.seek(place)
            self._start, self._held, offset = place, self._stream.read(_WINDOW), 0
        return self._held[offset : offset + count]

    def candidate(self, place: int) -> int:
        """Return the next place, from ``place`` on, at which a frame or tag may begin."""
        while place < self.size:
            self.at(place, 1)
            found = _BEGINS.search(self._held, place - self._start)
            if found:
                return self._start + found.start()
            place = self._start + len(self._held)
        return self.size
