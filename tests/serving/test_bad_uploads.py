"""Bad recordings: always an error in JSON that says what to do, and the server goes on."""

from __future__ import annotations

import io
import logging
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from servers import PATH, Running, Speak, running, wav

MINUTES = 2


@pytest.fixture(scope="module")
def lasting(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle, audio_seconds=60 * MINUTES) as server:
        yield server


@pytest.fixture(scope="module")
def clip(spoken: Speak) -> bytes:
    return wav(np.tile(spoken("good deed "), 7))


@pytest.fixture
def server(lasting: Running, clip: bytes) -> Iterator[Running]:
    """Holds nothing after a test, and still answers."""
    yield lasting
    assert lasting.is_at_rest()
    assert lasting.transcribe(clip).json() == {"text": " ".join(["good deed"] * 7)}


def flac(hours: float) -> bytes:
    """Return a small file of much silence."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC") as sound:
        for _ in range(round(hours * 60)):
            sound.write(np.zeros(60 * 8_000, np.int16))
    return file.getvalue()


def not_audio(clip: bytes) -> tuple[bytes, int, str]:
    return b"Dear diary, today I was transcribed.\n" * 20, 400, "is not audio"


def empty(clip: bytes) -> tuple[bytes, int, str]:
    return b"", 400, "is empty"


def zero_length(clip: bytes) -> tuple[bytes, int, str]:
    return wav(np.zeros(0, np.float32)), 400, "holds no audio"


def too_short(clip: bytes) -> tuple[bytes, int, str]:
    return wav(np.zeros(10, np.float32)), 400, "too short"


def truncated(clip: bytes) -> tuple[bytes, int, str]:
    return clip[: len(clip) // 2], 400, "truncated"


def header_alone(clip: bytes) -> tuple[bytes, int, str]:
    return clip[:44], 400, "holds no audio"


def not_a_number(clip: bytes) -> tuple[bytes, int, str]:
    file = io.BytesIO()
    soundfile.write(file, np.full(9_000, np.nan), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue(), 400, "not numbers"


def hours_of_silence(clip: bytes) -> tuple[bytes, int, str]:
    content = flac(5)
    assert len(content) < 500_000
    return content, 413, "longer than 2 minutes"


def hours_that_the_header_hides(clip: bytes) -> tuple[bytes, int, str]:
    content = bytearray(flac(5))
    content[21:26] = struct.pack(">BI", content[21] & 0xF0, 0)  # so many samples: unknown
    return bytes(content), 413, "longer than 2 minutes"


def hours_in_the_header_alone(clip: bytes) -> tuple[bytes, int, str]:
    content = bytearray(flac(0.1 / 6))
    content[21:26] = struct.pack(">BI", content[21] & 0xF0 | 1, 0)
    return bytes(content), 413, "longer than 2 minutes"


FAULTS = (
    not_audio,
    empty,
    zero_length,
    too_short,
    truncated,
    header_alone,
    not_a_number,
    hours_of_silence,
    hours_that_the_header_hides,
    hours_in_the_header_alone,
)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told(
    server: Running, clip: bytes, fault: Callable[[bytes], tuple[bytes, int, str]]
) -> None:
    content, status, says = fault(clip)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = server.transcribe(content)
    assert response.status_code == status
    error = response.json()["error"]
    assert says in error["message"]
    assert error["message"].endswith(".")
    assert error["param"] == "file"
    assert error["type"] == "invalid_request_error"
    assert "/" not in error["message"].replace("16/24", "")
    assert "Traceback" not in response.text
    # Five hours at 16 kHz are 1.1 GiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_an_upload_on_disk_is_removed(server: Running, clip: bytes) -> None:
    """From 1 MB on, uploads are temporary files."""
    response = server.transcribe(clip + bytes(1_500_000))
    assert response.status_code in (200, 400)
    assert server.transcribe(bytes(1_500_000)).status_code == 400


def test_a_multipart_that_ends_in_the_middle(server: Running, clip: bytes) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = head + clip + bytes(1_500_000)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = server.client.post(PATH, content=body, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["message"].endswith(".")


def test_a_name_that_is_a_path_is_not_used(server: Running, clip: bytes) -> None:
    for name in ("../../etc/passwd", "/dev/zero", "a.raw", "a\x00.wav", "ä" * 500):
        files, data = {"file": (name, clip)}, {"model": "tones"}
        assert server.client.post(PATH, files=files, data=data).status_code == 200


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("my talk.wav", "my talk.wav"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\me\talk.wav", "talk.wav"),
        ("a\nb.wav", "ab.wav"),
        ("x" * 500 + ".wav", "x" * 76 + ".wav"),
        ("talks/", "file"),
    ],
)
def test_a_bad_upload_names_the_user_s_file(server: Running, name: str, shown: str) -> None:
    body = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = body.replace("a\nb", "a\x0bb") + "Dear diary\r\n"
    body += '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ntones\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = server.client.post(PATH, content=body.encode(), headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(f"{shown}: ")


def test_a_failure_of_ours_is_500_and_tells_nothing(
    tone_bundle: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tone_bundle) as server:

        def fail(*_: object) -> None:
            raise RuntimeError("secret /home/someone/path")

        monkeypatch.setattr(server.engine.recognizer, "transcribe_waveforms", fail)
        response = server.transcribe(clip)
        assert response.status_code == 500
        assert response.json()["error"]["type"] == "server_error"
        assert "secret" not in response.text
        assert response.headers["Connection"] == "close"
        assert f'path="{PATH}",status="500"' in server.client.get("/metrics").text
        assert server.is_at_rest()
        monkeypatch.undo()
        assert server.transcribe(clip).status_code == 200


def test_a_body_that_is_not_http_gets_one_answer_and_no_traceback(
    tone_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The application answers at once, the parser of HTTP refuses what follows."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    with running(tone_bundle) as server:
        logging.getLogger("uvicorn").addHandler(caplog.handler)
        host, _, port = server.netloc.rpartition(":")
        for kind in ("multipart/form-data; boundary=X", "text/plain"):
            for body in (b"5\r\nab", b"zz\r\n", b"5\r\nabcdeX\r\n"):
                content = f"{head}Content-Type: {kind}\r\n\r\n".encode() + body
                with socket.create_connection((host, int(port)), 20) as client:
                    client.sendall(content)
                    client.shutdown(socket.SHUT_WR)
                    answer = b""
                    while data := client.recv(4096):
                        answer += data
                assert answer.count(b"HTTP/1.1 ") <= 1
        with socket.create_connection((host, int(port)), 20) as client:
            client.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n" + b"a\r\n" * 3 + b"\r\n\r\n")
            client.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        assert server.is_at_rest()
        logging.getLogger("uvicorn").removeHandler(caplog.handler)
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []
