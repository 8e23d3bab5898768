"""The structure of WAV and Ogg files, and whether it is what the header declares.

libsndfile corrects or ignores much that shows a recording to be truncated, refuses headers that
were never finished, and reads the first of several streams only.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

import soundfile

from plainspeech.audio.decoded import check_complete
from plainspeech.errors import AudioError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LARGEST_PAGE = 65_307  # bytes, of Ogg

# libsndfile corrects sizes that cannot be and tells so in its log alone.
_CORRECTED = re.compile(
    r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
# What writers to a pipe put where the size of a WAV goes: ffmpeg the largest number, sox and espeak
# a little less than 2 GiB, arecord 2 GiB.
_UNKNOWN_SIZES = (range(0x7FFF_F000, 0x8000_1000), range(0xFFFF_F000, 0x1_0000_0000))
_MOST_HEADER = 1 << 20  # bytes of a WAV in which the samples must begin


class Window(io.RawIOBase):
    """Part of a file as a file, in which a place before the beginning is the beginning.

    libsndfile asks for such places in damaged files, and an error could not be passed through it.

    Args:
        stream: the file, which can seek.
        start: of the part, in bytes.
        end: of the part.
        head: what comes before it.
    """

    def __init__(self, stream: BinaryIO, start: int, end: int, head: bytes = b"") -> None:
        self._stream, self._start, self._head = stream, start, head
        self._size = len(head) + end - start
        self._place = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place, in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        """Read what fits into ``buffer``; return how many bytes that is."""
        view = memoryview(buffer).cast("B")
        count = min(len(view), max(0, self._size - self._place))
        if self._place < len(self._head):
            content = self._head[self._place : self._place + count]
        else:
            self._stream.seek(self._start + self._place - len(self._head))
            content = self._stream.read(count)
        view[: len(content)] = content
        self._place += len(content)
        return len(content)


def windows(stream: BinaryIO, ranges: Iterable[tuple[int, int]]) -> Iterator[BinaryIO]:
    """Yield parts of ``stream`` as files, by where they begin and end in bytes."""
    return (cast("BinaryIO", Window(stream, begin, end)) for begin, end in ranges)


def whole(stream: BinaryIO) -> tuple[int, int]:
    """Return where all of ``stream`` begins and ends."""
    return 0, stream.seek(0, io.SEEK_END)


def ogg_links(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where the links of an Ogg file begin and end, in bytes.

    Each is a file of its own, with another rate perhaps; all streams of a link begin with a page
    that says so (RFC 3533, section 4). ``stream`` may be read elsewhere in between.
    """
    size = stream.seek(0, io.SEEK_END)
    begin, within, place = 0, False, 0
    while place < size:
        stream.seek(place)
        header = stream.read(27 + 255)
        if len(header) < 27 or header[:4] != b"OggS":
            break  # what follows is left to the decoder
        first = bool(header[5] & 2)
        if first and within:
            yield begin, place
            begin = place
        within = not first
        segments = header[26]
        place += 27 + segments + sum(header[27 : 27 + segments])
    yield begin, size


def finished_wav(stream: BinaryIO) -> BinaryIO | None:
    """Return a WAV with a header that libsndfile reads, where its own was never finished.

    Recorders that write to a pipe, or are killed, leave sizes that cannot be; others forget the
    byte that pads a chunk of odd length. None where the header is as it should be, or tells no
    format.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    header = stream.read(_MOST_HEADER)
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return None
    kept, place, regular = b"", 12, True
    while (name := header[place : place + 4]) != b"data":
        length = int.from_bytes(header[place + 4 : place + 8], "little")
        after = place + 8 + length + length % 2
        if not _chunk_at(header, after):
            regular = False
            unpadded = place + 8 + length
            # What is no chunk's size is passed over to where the samples must begin.
            after = unpadded if _chunk_at(header, unpadded) else header.find(b"data", place + 8)
        if after < 0 or len(name) < 4:
            return None
        if name == b"fmt ":
            kept = header[place:after]
        place = after
    start = place + 8
    declared = int.from_bytes(header[place + 4 : start], "little")
    # Without samples, another chunk or nothing follows.
    lost = declared == 0 and start < size and not _chunk_at(header, start)
    unknown = lost or any(declared in sizes for sizes in _UNKNOWN_SIZES)
    if regular and not (unknown and declared != 0xFFFF_FFFF):
        return None
    end = size if unknown or start + declared > size else start + declared
    count = end - start if unknown else declared
    count = min(count, 0xFFFF_FFFF - len(kept) - 20)
    sizes = [(count + len(kept) + 12).to_bytes(4, "little"), count.to_bytes(4, "little")]
    head = b"RIFF" + sizes[0] + b"WAVE" + kept + b"data" + sizes[1]
    return cast("BinaryIO", Window(stream, start, end, head)) if kept else None


def _chunk_at(header: bytes, place: int) -> bool:
    """Whether a chunk may begin at ``place``: names are four printable characters."""
    name = header[place : place + 4]
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


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
    """Refuse a header that declares more than the size of its file leaves room for."""
    for declared, there in _CORRECTED.findall(sound.extra_info):
        if not any(int(declared) in sizes for sizes in _UNKNOWN_SIZES):
            frames = sound.frames * int(declared) / max(int(there), 1)
            check_complete(name, sound.frames, frames, sound.samplerate)
