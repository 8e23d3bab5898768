"""Recordings as people have them: joined, never finished, tagged, with junk around them."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.audio.mpeg import Frame, mpeg_parts
from plainspeech.errors import AudioError

RATE = audio.SAMPLE_RATE


def tone(seconds: float = 1.0, rate: int = RATE, hz: float = 440.0, channels: int = 1) -> Array:
    time = np.arange(round(seconds * rate)) / rate
    samples = (0.5 * np.sin(2 * np.pi * hz * time)).astype(np.float32)
    return np.repeat(samples[:, None], channels, axis=1)


def encoded(samples: Array, rate: int = RATE, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **options)
    return file.getvalue()


def mp3(seconds: float = 1.0, rate: int = RATE, hz: float = 440.0, channels: int = 1) -> bytes:
    return encoded(tone(seconds, rate, hz, channels), rate, format="MP3")


def pitch(waveform: Array) -> float:
    """Return the loudest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax() * RATE / len(waveform))


def heard(content: bytes, *parts: tuple[float, float]) -> Array:
    """Read ``content``, which must have a tone of so many seconds and Hz after the other."""
    waveform = audio.read(io.BytesIO(content))
    assert len(waveform) == pytest.approx(RATE * sum(seconds for seconds, _ in parts), abs=400)
    start = 0.0
    for seconds, hz in parts:
        middle = waveform[int(RATE * (start + 0.1)) : int(RATE * (start + seconds - 0.1))]
        assert pitch(middle) == pytest.approx(hz, rel=0.02)
        start += seconds
    return waveform


VORBIS: dict[str, Any] = {"format": "OGG", "subtype": "VORBIS"}
OPUS: dict[str, Any] = {"format": "OGG", "subtype": "OPUS"}


@pytest.mark.parametrize("first", [VORBIS, OPUS], ids=["vorbis", "opus"])
@pytest.mark.parametrize("second", [VORBIS, OPUS], ids=["vorbis", "opus"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2), (8_000, 1)])
def test_every_link_of_a_chained_ogg_is_read(
    first: dict[str, Any], second: dict[str, Any], rate: int, channels: int
) -> None:
    content = encoded(tone(1.0), **first)
    content += encoded(tone(0.7, rate, 880.0, channels), rate, **second)
    content += encoded(tone(0.5, hz=660.0), **first)
    heard(content, (1.0, 440.0), (0.7, 880.0), (0.5, 660.0))


def test_a_chain_does_not_say_how_long_it_is_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(encoded(tone(1.0), **VORBIS) + encoded(tone(0.5), **OPUS))
    with audio.opened(path) as recording:
        assert recording.duration is None
    assert audio.duration(path) == pytest.approx(1.5, abs=0.01)


def test_links_are_found_one_after_the_other() -> None:
    """Where there are headers of pages alone, a link has 54 bytes; each took ten times as many."""
    empty = [b"OggS\0" + bytes([flags]) + bytes(21) for flags in (2, 0)]
    content = io.BytesIO(encoded(tone(), **VORBIS) + b"".join(empty) * 20_000)
    tracemalloc.start()
    try:
        with pytest.raises(AudioError, match="one after the first cannot be read"):
            audio.read(content)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_chain_that_is_cut_in_its_second_link_is_refused() -> None:
    second = encoded(tone(3.0), **VORBIS)
    with pytest.raises(AudioError, match="truncated"):
        audio.read(io.BytesIO(encoded(tone(1.0), **VORBIS) + second[: len(second) // 2]))


def test_a_chain_with_a_damaged_link_is_refused() -> None:
    second = bytearray(encoded(tone(1.0), **VORBIS))
    second[28:58] = bytes(30)  # its header
    with pytest.raises(AudioError, match="one after the first cannot be read"):
        audio.read(io.BytesIO(encoded(tone(1.0), **VORBIS) + second))


@pytest.mark.parametrize("magic", [b"FORM", b"RF64", b"caff", b".snd", b"fLaC", b"RIFF", b"OggS"])
def test_headers_that_point_outside_the_file(
    magic: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(magic)
    for _ in range(100):
        with pytest.raises(AudioError):
            audio.read(io.BytesIO(magic + b"\xff\xff\xff\xff" + chance.randbytes(60)))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (24_000, 1)])
def test_mp3s_after_one_another_are_all_read(
    rate: int, channels: int, capfd: pytest.CaptureFixture[str]
) -> None:
    content = mp3(1.0) + mp3(0.8, rate, 880.0, channels) + mp3(0.6, hz=660.0)
    heard(content, (1.0, 440.0), (0.8, 880.0), (0.6, 660.0))
    assert capfd.readouterr().err == ""  # libmpg123 says nothing of its own


def id3v2(size: int = 1000) -> bytes:
    digits = [size >> 7 * place & 0x7F for place in (3, 2, 1, 0)]
    return b"ID3\x04\0\0" + bytes(digits) + bytes(size)


ID3V1 = b"TAG" + bytes(125)
APE_FOOTER = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(8)
JUNK = random.Random(1).randbytes(5_000)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        id3v2(),
        id3v2() + id3v2(5),
        bytes(10_000),
        id3v2() + bytes(3_000),
        JUNK,
        b"\xff" * 2_000,
        mp3()[60:200],  # a half of a frame
        APE_FOOTER,
    ],
    ids=["nothing", "tag", "two tags", "zeros", "tag, zeros", "junk", "ones", "half", "ape"],
)
@pytest.mark.parametrize(
    "after", [b"", ID3V1, APE_FOOTER + ID3V1, bytes(5_000)], ids=["", "id3v1", "ape", "zeros"]
)
def test_mp3_with_something_around_it(
    before: bytes, after: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    heard(before + mp3() + after, (1.0, 440.0))
    assert capfd.readouterr().err == ""


def test_mp3s_with_tags_between_them() -> None:
    heard(id3v2() + mp3() + ID3V1 + id3v2() + mp3(0.8, hz=880.0), (1.0, 440.0), (0.8, 880.0))


def test_mp3_that_turns_into_something_else_is_refused() -> None:
    with pytest.raises(AudioError, match=r"damaged: after byte \d+ is much data that is not audio"):
        audio.read(io.BytesIO(mp3() + bytes(2_000_000)))


def test_mp3_of_which_most_is_something_else_is_refused() -> None:
    """Every byte of it may begin a frame, and is looked at: a second for each megabyte."""
    some = mp3(0.2) + b"\xff" * 100_000
    with pytest.raises(AudioError, match=r"damaged: after byte \d+ is much data that is not audio"):
        mpeg_parts("a", io.BytesIO(some * 20))
    assert len(mpeg_parts("a", io.BytesIO(some * 3))) == 3


def test_mp3_with_a_little_junk_again_and_again_is_read() -> None:
    """As from a radio station that tells its titles in between: 2 MB of it, in 40 of audio."""
    frame = bytes.fromhex("fffb9064") + bytes(413)
    parts = mpeg_parts("a", io.BytesIO((frame * 240 + bytes(5_000)) * 400))
    assert len(parts) == 400


@pytest.mark.parametrize(
    ("header", "kind", "length"),
    [
        ("fffb9064", (1, 3, 44_100, False), 417),  # 128 kbit/s
        ("fffb92c4", (1, 3, 44_100, True), 418),  # padded
        ("fff34464", (2, 3, 24_000, False), 96),  # MPEG-2, 32 kbit/s
        ("ffe318c4", (4, 3, 8_000, True), 72),  # MPEG-2.5
        ("fffd80c4", (1, 2, 44_100, True), 417),  # layer 2, 128 kbit/s
        ("ffff8064", (1, 1, 44_100, False), 276),  # layer 1, 256 kbit/s
    ],
)
def test_headers_of_frames(header: str, kind: object, length: int) -> None:
    assert Frame.parse(bytes.fromhex(header)) == Frame(kind, length)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "header", ["fff15080", "fffbf064", "fffb0064", "fffb9c64", "feffffff", "ff"]
)
def test_what_is_no_header(header: str) -> None:
    """AAC among others."""
    assert Frame.parse(bytes.fromhex(header)) is None


@given(content=st.binary(max_size=3_000))
def test_parts_are_in_order_and_within_the_file(content: bytes) -> None:
    parts = mpeg_parts("a", io.BytesIO(content))
    places = [place for part in parts for place in part]
    assert places == sorted(places)
    assert not places or 0 <= places[0] <= places[-1] <= len(content)


def wav(
    data: int | None = None, riff: int | None = None, chunks: bytes = b"", tail: bytes = b""
) -> bytes:
    samples = encoded(tone(), format="RAW", subtype="PCM_16")
    header = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    size = len(samples) if data is None else data
    body = b"WAVEfmt " + struct.pack("<I", 16) + header + chunks
    body += b"data" + struct.pack("<I", size) + samples + tail
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


UNKNOWN = [0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0024, 0xFFFF_FFDB, 0xFFFF_FFFF]


@pytest.mark.parametrize("data", UNKNOWN, ids=hex)
@pytest.mark.parametrize("riff", [None, 0, 36, 0x7FFF_FFFF, 0x8000_0024, 0xFFFF_FFFF], ids=str)
def test_wav_of_a_pipe_or_a_killed_recorder(data: int, riff: int | None) -> None:
    assert len(heard(wav(data, riff), (1.0, 440.0))) == RATE


def listed(length: int, pad: bytes = b"") -> bytes:
    return (
        b"LIST"
        + struct.pack("<I", length)
        + b"INFOISFT\x05\0\0\0Lavf\0"[:length].ljust(length, b"x")
        + pad
    )


@pytest.mark.parametrize(
    "chunks",
    [
        listed(13, b"\0"),
        listed(13),
        listed(14),
        b"junk" + struct.pack("<I", 3) + b"abc",
        listed(13) + listed(15),
        b"LIST" + struct.pack("<I", 0xFFFF_FFFF) + b"INFO",
        b"LIST" + struct.pack("<I", 5_000_000) + b"INFO",
    ],
    ids=["padded", "unpadded", "even", "unpadded junk", "two unpadded", "huge", "too long"],
)
@pytest.mark.parametrize("data", [None, 0, 0xFFFF_FFFF], ids=str)
def test_wav_with_odd_chunks_before_its_samples(chunks: bytes, data: int | None) -> None:
    assert len(heard(wav(data, chunks=chunks), (1.0, 440.0))) == RATE


def test_wav_that_promises_more_than_it_holds_is_still_refused() -> None:
    with pytest.raises(AudioError, match=r"its header declares 2\.0 s of audio, 1\.0 s can"):
        audio.read(io.BytesIO(wav(64_000, chunks=listed(13))))
    with pytest.raises(AudioError, match="holds no audio"):
        audio.read(io.BytesIO(wav()[:40] + bytes(4)))


def test_wav_with_a_chunk_after_its_samples() -> None:
    assert len(audio.read(io.BytesIO(wav(tail=listed(13, b"\0"))))) == RATE


@pytest.mark.parametrize(
    "tail", [ID3V1, JUNK, bytes(9_000), b"\xff\xf8" * 50], ids=["tag", "junk", "zeros", "sync"]
)
def test_flac_with_something_after_its_last_frame(tail: bytes) -> None:
    content = encoded(tone(), format="FLAC")
    np.testing.assert_array_equal(
        audio.read(io.BytesIO(content + tail)), audio.read(io.BytesIO(content))
    )


def test_flac_with_a_tag_before_it() -> None:
    assert len(audio.read(io.BytesIO(id3v2() + encoded(tone(), format="FLAC")))) == RATE


@pytest.mark.parametrize("kind", ["mp3", "ogg", "wav", "flac", "aiff"])
def test_a_damaged_file_is_read_or_refused(kind: str) -> None:
    """Bytes changed, lost or there twice, mostly in headers."""
    content = {
        "mp3": id3v2(50) + mp3(0.5) + mp3(0.3, 44_100),
        "ogg": encoded(tone(0.5), **VORBIS) + encoded(tone(0.5), **OPUS),
        "wav": wav(0, 0, listed(13)),
        "flac": encoded(tone(0.5), format="FLAC"),
        "aiff": encoded(tone(0.5), format="AIFF"),
    }[kind]
    chance = random.Random(kind)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 2, 5, 30])):
            place = chance.randrange(chance.choice([100, 600, len(content)])) % len(damaged)
            count = chance.randrange(1, 50)
            match chance.randrange(4):
                case 0 | 1:
                    damaged[place] = chance.choice([0, 127, 128, 255, chance.randrange(256)])
                case 2:
                    del damaged[place : place + count]
                case 3:
                    damaged[place:place] = damaged[place : place + count]
        with suppress(AudioError):
            assert np.isfinite(audio.read(io.BytesIO(damaged))).all()
