from __future__ import annotations

import errno
import io
import os
import struct
import tempfile
import threading
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.audio import libsndfile
from plainspeech.errors import AudioError

FORMATS = {
    "wav": {},
    "flac": {},
    "aiff": {},
    "mp3": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
LOSSLESS = ("wav", "flac", "aiff")
HOURS_100 = 100 * 3600


def tone(seconds: float = 1.0, rate: int = 16_000, hz: float = 440.0) -> Array:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def write(path: Path, samples: Array, rate: int = 16_000, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, **{"subtype": subtype, **FORMATS[path.suffix[1:]]})
    return path


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_is_read(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}", tone())
    waveform = audio.read(path)
    assert waveform.dtype == np.float32
    assert waveform.shape == (16_000,)
    tolerance = 1e-4 if extension in LOSSLESS else 0.1
    np.testing.assert_allclose(waveform[800:-800], tone()[800:-800], atol=tolerance)
    assert audio.duration(path) == 1.0


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 96_000, 192_000])
def test_any_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", tone(3.0, rate), rate)
    waveform = audio.read(path)
    assert len(waveform) == pytest.approx(48_000, abs=1)
    np.testing.assert_allclose(waveform[800:-800], tone(3.0)[800 : len(waveform) - 800], atol=2e-3)
    assert audio.duration(path) == pytest.approx(3.0, abs=1e-4)


def test_what_lies_beyond_the_new_rate_does_not_fold_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.0, 48_000, hz=12_000), 48_000)
    assert np.abs(audio.read(path)[800:-800]).max() < 1e-3


def test_another_rate_can_be_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone())
    assert audio.read(path, sample_rate=8_000).shape == (8_000,)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.flac", tone(2.0, 44_100), 44_100)
    whole = audio.read(path)
    monkeypatch.setattr(libsndfile, "BLOCK", 997)
    np.testing.assert_array_equal(audio.read(path), whole)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_pipe_is_read(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}", tone())
    reader, writer = os.pipe()

    def feed() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(path.read_bytes())

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        waveform = audio.read(pipe)
    thread.join()
    np.testing.assert_array_equal(waveform, audio.read(path))


def test_flac_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone(2.5))
    expected = audio.read(path)
    path.write_bytes(flac_claiming(path.read_bytes(), 0))
    np.testing.assert_array_equal(audio.read(path), expected)
    assert audio.duration(path) == 2.5


def test_a_pipe_that_is_open_as_text_is_refused() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"RIFF")
    os.close(writer)
    with os.fdopen(reader) as pipe, pytest.raises(AudioError, match="is open as text"):
        audio.read(cast("BinaryIO", pipe))


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_F000, 0x7FFF_FFFF])
def test_wav_that_was_written_to_a_pipe(tmp_path: Path, size: int) -> None:
    """Their writers could not know the size, and put a large one."""
    path = write(tmp_path / "a.wav", tone())
    path.write_bytes(wav_claiming(path.read_bytes(), size))
    assert len(audio.read(path)) == 16_000


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), FileNotFoundError("x")])
def test_what_the_callers_block_raises_is_not_the_recordings_fault(
    tmp_path: Path, fault: OSError
) -> None:
    path = write(tmp_path / "a.wav", tone())
    with pytest.raises(OSError, match=r"No space left|x") as caught, audio.opened(path):
        raise fault
    assert caught.value is fault


class Failing(io.RawIOBase):
    """A file or pipe that cannot be read."""

    def __init__(self, seekable: bool) -> None:
        self._seekable = seekable

    def seekable(self) -> bool:
        return self._seekable

    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("seekable", [False, True])
def test_a_file_that_cannot_be_read_is_named(seekable: bool) -> None:
    with pytest.raises(AudioError, match=r"^audio: cannot be read: Input/output error$"):
        audio.read(io.BufferedReader(Failing(seekable)))


def test_a_full_disk_below_the_copy_of_a_pipe_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda _: Full())
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(b"RIFF")
    says = r"cannot be copied to .*: No space left on device$"
    with os.fdopen(reader, "rb") as pipe, pytest.raises(AudioError, match=says):
        audio.read(pipe)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"RIFF", "audio: is bytes; a path or a binary file is needed"),
        (None, "audio: is NoneType; a path or a binary file"),
        (io.StringIO("RIFF"), "audio: is open as text"),
        ("a\0b", "cannot be read: .*null"),
    ],
)
def test_what_is_no_source(source: Any, says: str) -> None:
    with pytest.raises(AudioError, match=says) as caught:
        audio.read(source)
    assert "\0" not in str(caught.value)


def wav_claiming(content: bytes, size: int) -> bytes:
    assert content[36:40] == b"data"
    return content[:40] + struct.pack("<I", size) + content[44:]


def flac_claiming(content: bytes, frames: int) -> bytes:
    """Set the 36 bits of STREAMINFO that count samples (RFC 9639, section 8.2)."""
    high = content[21] & 0xF0 | frames >> 32
    return content[:21] + bytes([high]) + struct.pack(">I", frames & 0xFFFF_FFFF) + content[26:]


def refused(path: Path | str, says: str) -> None:
    with pytest.raises(AudioError, match=says) as caught:
        audio.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_paths_that_hold_no_recording(tmp_path: Path) -> None:
    refused(tmp_path / "none.wav", "no such file")
    refused(
        "https://example.org/a.mp3", "^https://example.org/a.mp3: is the address of a file; down"
    )
    refused(tmp_path, "is a folder")
    for name, content in {"a.wav": b"", "a.mp3": b""}.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "is empty")
    for name, content in {"b.wav": b"hello", "b.raw": b"hello", "b.txt": b"hello\n" * 500}.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "is not audio")


def test_headers_without_audio(tmp_path: Path) -> None:
    for extension in ("wav", "aiff"):
        refused(write(tmp_path / f"a.{extension}", tone(0)), "holds no audio")
    refused(write(tmp_path / "b.wav", tone()[:1]), "too short: 0.0625 ms")
    refused(write(tmp_path / "c.wav", tone()[:159]), "too short: 9.94 ms")
    assert len(audio.read(write(tmp_path / "d.wav", tone()[:160]))) == 160


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.7, 0.8])
def test_a_truncated_file_is_refused(tmp_path: Path, extension: str, kept: float) -> None:
    content = write(tmp_path / f"a.{extension}", tone(3.0)).read_bytes()
    (tmp_path / f"b.{extension}").write_bytes(content[: int(kept * len(content))])
    refused(tmp_path / f"b.{extension}", "truncated|damaged")


def test_a_truncated_wav_says_how_much_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(3.0))
    path.write_bytes(path.read_bytes()[: 44 + 32_000])
    says = r"truncated: its header declares 3\.0 s of audio, 1\.0 s can be read"
    refused(path, says)
    with pytest.raises(AudioError, match=says):
        audio.duration(path)


def test_a_header_of_100_hours_takes_no_memory(tmp_path: Path) -> None:
    flac = write(tmp_path / "a.flac", tone())
    flac.write_bytes(flac_claiming(flac.read_bytes(), HOURS_100 * 16_000))
    assert audio.duration(flac) == HOURS_100
    wav = write(tmp_path / "a.wav", tone(1.0, 8_000), 8_000, "PCM_U8")
    wav.write_bytes(wav_claiming(wav.read_bytes(), HOURS_100 * 8_000))
    tracemalloc.start()
    try:
        for path in (flac, wav):
            refused(path, r"truncated: .* 360000\.0 s of audio, 1\.0 s can be read")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_not_numbers(tmp_path: Path, value: float) -> None:
    samples = tone()
    samples[12_345] = value
    refused(write(tmp_path / "a.wav", samples, subtype="FLOAT"), "not numbers")


@pytest.mark.parametrize("rate", [1, 2_000_000_000])
def test_absurd_sample_rates(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", tone())
    content = path.read_bytes()
    path.write_bytes(content[:24] + struct.pack("<I", rate) + content[28:])
    refused(path, f"sample rate of {rate} Hz")


@given(place=st.integers(0, 43), value=st.integers(0, 255))
@settings(max_examples=200)
def test_a_damaged_header_is_read_or_refused(place: int, value: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(0.1), 16_000, format="WAV")
    content = bytearray(file.getvalue())
    content[place] = value
    with suppress(AudioError):
        assert np.isfinite(audio.read(io.BytesIO(content))).all()


@given(content=st.binary(max_size=500), magic=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS"]))
@settings(max_examples=200)
def test_noise_is_refused(content: bytes, magic: bytes) -> None:
    with pytest.raises(AudioError):
        audio.read(io.BytesIO(magic + content))


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.int16, 2**15), (np.int32, 2**31), (np.float64, 1), (np.float32, 1)]
)
def test_arrays_are_scaled_by_their_type(dtype: npt.DTypeLike, scale: float) -> None:
    array = (tone() * scale).astype(dtype)
    np.testing.assert_allclose(audio.from_array(array, 16_000), tone(), atol=1e-4)


def test_an_array_is_resampled_as_its_file_is(tmp_path: Path) -> None:
    samples = tone(1.0, 44_100)
    path = write(tmp_path / "a.wav", samples, 44_100, "FLOAT")
    np.testing.assert_array_equal(audio.from_array(samples, 44_100), audio.read(path))
    assert audio.from_array(samples[:0], 44_100).shape == (0,)


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        ([0.0] * 16_000, 16_000),
        (b"\0" * 16_000, 16_000),
        (np.zeros((16_000, 2, 1)), 16_000),
        (np.zeros((2, 16_000)), 16_000),
        (np.zeros((16_000, 0)), 16_000),
        (np.full(16_000, None), 16_000),
        (np.full(16_000, "a"), 16_000),
        (np.zeros(16_000, np.complex64), 16_000),
        (np.zeros(16_000, np.uint8), 16_000),
        (np.zeros(16_000, bool), 16_000),
        (np.full(16_000, np.nan), 16_000),
        (np.full(16_000, 1e300), 16_000),
        (np.zeros(16_000), 0),
        (np.zeros(16_000), np.nan),
        (np.zeros(16_000), "16000"),
        (np.zeros(16_000), None),
    ],
)
def test_what_is_no_waveform(samples: Any, rate: Any) -> None:
    with pytest.raises(AudioError, match=r"^waveform: .+") as caught:
        audio.from_array(samples, rate)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_an_array_takes_little_more_memory_than_its_result(dtype: npt.DTypeLike) -> None:
    array = np.zeros(4_000_000, dtype)
    tracemalloc.start()
    try:
        result = audio.from_array(array, 16_000)
        assert tracemalloc.get_traced_memory()[1] < result.nbytes + 4_000_000
    finally:
        tracemalloc.stop()
