"""What phones, browsers and cameras record."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import AudioError

RATE = audio.SAMPLE_RATE
FORMATS = {
    "m4a": ("ipod", "aac", 44_100, "stereo"),
    "mp4": ("mp4", "aac", 48_000, "mono"),
    "mov": ("mov", "alac", 44_100, "mono"),
    "3gp": ("3gp", "libopencore_amrnb", 8_000, "mono"),
    "amr": ("amr", "libopencore_amrnb", 8_000, "mono"),
    "aac": ("adts", "aac", 22_050, "mono"),
    "webm": ("webm", "libopus", 48_000, "mono"),
    "mkv": ("matroska", "pcm_s16le", 16_000, "stereo"),
    "mka": ("matroska", "aac", 16_000, "mono"),
    "wma": ("asf", "wmav2", 44_100, "stereo"),
    "avi": ("avi", "libmp3lame", 44_100, "stereo"),
    "ts": ("mpegts", "aac", 48_000, "stereo"),
    "flv": ("flv", "aac", 44_100, "mono"),
    "caf": ("caf", "alac", 44_100, "mono"),
    "spx.ogg": ("ogg", "libspeex", 16_000, "mono"),
}
LOSSLESS = ("mov", "mkv", "mka", "caf")


def tone(rate: int, seconds: float = 2.0) -> Array:
    time = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def encoded(extension: str, seconds: float = 2.0, video: bool = False, **options: Any) -> bytes:
    """Return a tone in the format of ``extension``, with a grey picture perhaps."""
    container_format, codec, rate, layout = FORMATS[extension]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder for {codec}")
    file = io.BytesIO()
    with av.open(file, "w", container_format, **options) as container:
        picture = container.add_stream("mpeg4", 10) if video else None
        stream: Any = container.add_stream(codec, rate)
        stream.layout = layout
        stream.bit_rate = 12_200 if rate == 8_000 else 128_000
        if picture is not None:
            picture.width = picture.height = 32
            for number in range(round(10 * seconds)):
                grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), "rgb24")
                grey.pts, grey.time_base = number, Fraction(1, 10)
                container.mux(picture.encode(grey))
            container.mux(picture.encode())
        samples = tone(rate, seconds)
        frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_is_read(
    tmp_path: Path, extension: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a.{extension}"
    path.write_bytes(encoded(extension))
    waveform = audio.read(path)
    assert len(waveform) == pytest.approx(2 * RATE, abs=0.15 * RATE)
    middle = waveform[RATE // 2 : RATE + RATE // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(RATE)))
    assert spectrum.argmax() == pytest.approx(440, abs=1)
    stereo = FORMATS[extension][3] == "stereo"  # of half the power each, as it is encoded
    loudest = 0.5 * np.sqrt(0.5) if stereo else 0.5
    tolerance = 1e-2 if extension in LOSSLESS else 0.15
    assert np.abs(middle).max() == pytest.approx(loudest, abs=tolerance)
    assert audio.duration(path) == pytest.approx(2.0, abs=0.15)
    assert path.suffix in audio.EXTENSIONS
    assert capfd.readouterr().err == ""  # FFmpeg says nothing of its own


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "avi", "ts"])
def test_the_sound_of_a_video_is_read(extension: str) -> None:
    waveform = audio.read(io.BytesIO(encoded(extension, video=True)))
    assert len(waveform) == pytest.approx(2 * RATE, abs=0.15 * RATE)


def test_a_video_without_sound_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as container:
        picture = container.add_stream("mpeg4", 10)
        picture.width = picture.height = 32
        container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(picture.encode())
    file.seek(0)
    with pytest.raises(AudioError, match=r"^audio: holds no audio$"):
        audio.read(file)


def test_audio_of_an_unknown_codec_is_refused() -> None:
    """Up to 18.0 PyAV followed a null pointer there."""
    content = bytearray(encoded("avi"))
    place = content.index(b"strf") + 8  # where the codec is named
    content[place : place + 2] = b"\x34\x12"
    with pytest.raises(AudioError, match=r"^audio: holds audio of an unknown codec"):
        audio.read(io.BytesIO(content))


def test_what_a_browser_records_does_not_say_how_long_it_is() -> None:
    """A stream that is written as it comes has no duration in its header."""

    class Forward(io.BytesIO):
        def seekable(self) -> bool:
            return False

    content = encoded("webm", container_options={"live": "1"})
    with audio.opened(Forward(content)) as recording:
        assert recording.duration is None
        assert sum(map(len, recording.blocks)) == pytest.approx(2 * RATE, abs=0.1 * RATE)


@pytest.mark.parametrize("extension", ["m4a", "mp4", "mov", "3gp", "mkv", "webm", "caf"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7])
def test_a_truncated_file_is_refused(extension: str, kept: float) -> None:
    content = encoded(extension, seconds=5.0)
    with pytest.raises(AudioError, match=r"truncated|damaged|no audio"):
        audio.read(io.BytesIO(content[: int(kept * len(content))]))


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.wav\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.wav\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>secret.wav</BaseURL></Period></MPD>',
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n",
    ],
    ids=["ffconcat", "hls", "dash", "sdp"],
)
def test_a_playlist_is_no_recording(tmp_path: Path, text: str) -> None:
    """It would have FFmpeg read other files, or listen on the network."""
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(AudioError, match="is not audio, or damaged"):
        audio.read(tmp_path / "list.m3u8")


@pytest.mark.parametrize("extension", ["m4a", "webm", "wma", "amr", "aac", "mkv", "avi"])
def test_a_damaged_file_is_read_or_refused(extension: str) -> None:
    content = encoded(extension, seconds=0.5)
    chance = random.Random(extension)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 3, 20])):
            # Most of what a container is made of is at its beginning or end.
            near = chance.choice([200, len(content)])
            place = chance.choice(
                [chance.randrange(near), len(content) - 1 - chance.randrange(near)]
            )
            damaged[place] = chance.randrange(256)
        with suppress(AudioError):
            waveform = audio.read(io.BytesIO(damaged))
            assert np.isfinite(waveform).all()
            assert len(waveform) < 60 * RATE
