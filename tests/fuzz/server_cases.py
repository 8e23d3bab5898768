"""Requests and live sessions, byte for byte, to a server in a thread of this process.

Whatever a client sends, the server answers it or closes the connection, logs no exception, stays
ready for others, and keeps nothing of it.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from artifact_cases import whole_bundle
from mutations import STRINGS, TEXTS, VALUES, mutated_bytes, mutated_json
from servers import PATH, Running, eventually, running, wav

from conftest import speak

_SETTINGS: dict[str, Any] = {"silence_seconds": 1.0, "upload_bytes": 2**20, "wait_seconds": 0.0}
_SETTINGS |= {"spool_bytes": 4 * 2**20, "audio_seconds": 60.0}
_PATIENCE = 30.0  # seconds without a byte, after which a case fails
_CHECKED_EVERY = 100  # cases
_LARGEST_ANSWER = 1 << 22  # bytes
_SOUND = speak("ab")
_BOUNDARY = "XBOUND"
_FIELDS = ["model", "language", "prompt", "response_format", "temperature", "hot_words", "stream"]
_FIELDS += ["timestamp_granularities[]", "timestamp_granularities", "include[]", "file", "", "x"]
_FORMATS = ["json", "text", "srt", "vtt", "verbose_json", "xml", "JSON"]
_HEADERS = ["Host", "Content-Type", "Content-Length", "Transfer-Encoding", "Origin", "Connection"]
_HEADERS += ["Authorization", "Expect", "Upgrade", "Sec-Fetch-Site", "Accept", "X-A", "Range", "TE"]
_VALUES = ["127.0.0.1", "localhost", "evil.example", "http://[", "http://localhost:1", "null", "*"]
_VALUES += ["chunked", "gzip", "identity, chunked", "close", "keep-alive", "upgrade", "websocket"]
_VALUES += ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", "100-continue"]
_VALUES += [
    "application/json",
    "Bearer x",
    "bytes=0-",
    "\x00",
    "é",
    "",
    ":",
    "-1",
    "1e3",
    "9" * 400,
]
_PATHS = ["/", "/health", "/metrics", "/v1/models", "/openapi.json", "/app.js", "/v1/stream", "/x"]
_PATHS += [
    "/%00",
    "/../../etc/passwd",
    "/v1//models",
    "*",
    "http://a/",
    "/" + "a" * 3000,
    "/é",
    "//",
]


class _Log(logging.Handler):
    """Keeps what a server logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record)[-1500:])


class _Client:
    """Sends scripts to a server in this process.

    Args:
        folder: for its model.
    """

    def __init__(self, folder: Path) -> None:
        self.log = _Log()
        self._context = running(whole_bundle(folder / "b"), **_SETTINGS)
        self.server: Running = self._context.__enter__()
        for name in ("uvicorn", "asyncio"):
            logging.getLogger(name).addHandler(self.log)
        self._cases = 0

    def converse(
        self,
        parts: list[bytes],
        draw: random.Random,
        half_close: bool,
        live: bool = False,
    ) -> bytes:
        """Return what the server sends until it closes.

        Args:
            parts: what to send.
            draw: settles whether the client is gone after that.
            half_close: whether to tell the server that no more comes.
            live: whether this is a live session: then nothing but the first part is sent before
                the server answers, nearly always, and it is over when the server says so.
        """
        patient = live and draw.random() < 0.99
        host, _, port = self.server.netloc.rpartition(":")
        answer = b""
        with socket.create_connection((host, int(port)), _PATIENCE) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    if patient and not answer:
                        answer = connection.recv(1 << 16)
                if draw.random() < 0.03:  # and it is gone
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return b""
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while len(answer) < _LARGEST_ANSWER and not (live and _has_close_frame(answer)):
                    data = connection.recv(1 << 16)
                    if not data:
                        break
                    answer += data
            except TimeoutError:
                raise
            except OSError:
                pass  # it has closed: it need not read what it refuses
        return answer

    def check(self) -> None:
        """Require that the server has logged no exception and, now and then, that it is at rest."""
        self._cases += 1
        if self._cases % _CHECKED_EVERY == 0:
            assert self.server.client.get("/health").json()["status"] == "ready"
            assert eventually(self._is_at_rest, _PATIENCE), "something is kept"
        texts, self.log.texts = self.log.texts, []
        assert not texts, texts[0]

    def _is_at_rest(self) -> bool:
        capacity = self.server.engine.capacity
        return not (capacity.uploads or capacity.sessions or capacity.waiting or capacity.reserved)


def http(folder: Path) -> Callable[[random.Random], str]:
    client = _Client(folder)
    recording = wav(_SOUND)

    def run(draw: random.Random) -> str:
        requests = [_request(draw, recording) for _ in range(draw.choice([1, 1, 1, 2]))]
        content = b"".join(requests)
        if draw.random() < 0.2:
            content = mutated_bytes(content, draw)
        pieces = draw.choice([1, 1, 3])
        size = len(content) // pieces + 1
        parts = [content[start : start + size] for start in range(0, len(content), size)]
        answer = client.converse(parts, draw, half_close=True)
        client.check()
        if not answer:
            return "closed"
        found = re.match(rb"HTTP/1\.[01] ([1-5]\d\d) ", answer)
        assert found, answer[:200]
        statuses = re.findall(rb"^HTTP/1\.[01] (\d\d\d) ", answer, re.MULTILINE)
        assert b"500" not in statuses, answer[:1500]
        return f"status {statuses[-1].decode()}"

    return run


def _request(draw: random.Random, recording: bytes) -> bytes:
    method, path, body = "POST", PATH, b""
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    if draw.random() < 0.25:
        method = draw.choice(
            ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "CONNECT", "G T", ""]
        )
        path = draw.choice(_PATHS)
    else:
        body = _form(draw, recording)
    headers = [("Host", "127.0.0.1"), ("Content-Type", kind), ("Connection", "close")]
    if draw.random() < 0.2:
        headers.append(("Transfer-Encoding", "chunked"))
        body = _chunked(draw, body)
    else:
        headers.append(("Content-Length", str(len(body))))
    for _ in range(draw.choice([0, 0, 1, 2])):
        change = draw.randrange(3)
        value = draw.choice([*_VALUES, *TEXTS[:24]])
        if change == 0:
            headers.append((draw.choice(_HEADERS), value))
        elif change == 1:
            place = draw.randrange(len(headers))
            headers[place] = (headers[place][0], value)
        else:
            headers.pop(draw.randrange(len(headers)))
    if draw.random() < 0.1:
        path += "?" + quote(draw.choice(TEXTS)[:2000])
    lines = [f"{method} {path} HTTP/{draw.choice(['1.1'] * 9 + ['1.0', '2', '9.9'])}"]
    lines += [f"{name}: {value}" for name, value in headers]
    head = "\r\n".join(lines).encode(errors="replace") + b"\r\n\r\n"
    return head + body


def _form(draw: random.Random, recording: bytes) -> bytes:
    fields = [("model", "whisper-1"), ("response_format", draw.choice(_FORMATS))]
    for _ in range(draw.choice([0, 1, 2, 40 if draw.random() < 0.1 else 3])):
        value = str(draw.choice([*STRINGS, *TEXTS, *map(str, VALUES), "a:100\na a:100", "word"]))
        fields.append((draw.choice(_FIELDS), value))
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode(
            errors="replace"
        )
        for name, value in fields
    ]
    if draw.random() < 0.9:
        content = mutated_bytes(recording, draw) if draw.random() < 0.3 else recording
        name = draw.choice(["a.wav", "", "../../a", 'a".wav', "é.flac", "a" * 500])
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        )
        parts.insert(draw.randrange(len(parts) + 1), f"{head}\r\n".encode() + content + b"\r\n")
    body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    return mutated_bytes(body, draw) if draw.random() < 0.2 else body


def _chunked(draw: random.Random, body: bytes) -> bytes:
    size = draw.choice([1000, 5000, 100_000])
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    content = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return mutated_bytes(content, draw) if draw.random() < 0.2 else content


def websocket(folder: Path) -> Callable[[random.Random], str]:
    client = _Client(folder)
    pcm = np.round(np.tile(_SOUND, 2) * 32767).astype("<i2").tobytes()

    def run(draw: random.Random) -> str:
        parts = [_handshake(draw)]
        frames = [_frame(draw, pcm) for _ in range(draw.choice([0, 1, 3, 6]))]
        ends = draw.random() < 0.6
        if ends:
            frames.append(_packed(1, b'{"type": "end"}', draw.randbytes(4)))
        content = b"".join(frames)
        if draw.random() < 0.15:
            content = mutated_bytes(content, draw)
        parts.append(content)
        answer = client.converse(parts, draw, not ends, live=True)
        client.check()
        if not answer:
            return "closed"
        assert answer.startswith(b"HTTP/1.1 "), answer[:200]
        assert not answer.startswith(b"HTTP/1.1 500"), answer[:1500]
        for kind in (b"internal_error", b'"done"', b'"error"', b'"ready"'):
            if kind in answer:
                assert kind != b"internal_error", answer[-1500:]
                return kind.decode().strip('"')
        return f"status {answer[9:12].decode(errors='replace')}"

    return run


def _has_close_frame(answer: bytes) -> bool:
    """Tell whether there is a close frame in what a server sent."""
    place = answer.find(b"\r\n\r\n") + 4
    while 4 <= place < len(answer) - 1:
        opcode, length, size = answer[place] & 15, answer[place + 1] & 127, 2
        if opcode == 8:
            return True
        if length >= 126:
            size += 2 if length == 126 else 8
            length = int.from_bytes(answer[place + 2 : place + size], "big")
        place += size + length
    return False


def _handshake(draw: random.Random) -> bytes:
    query = []
    if draw.random() < 0.5:
        rate = draw.choice(
            ["8000", "16000", "44100", "192000", "7999", "1e4", "-1", "9" * 9, "١٦٠٠٠"]
        )
        query.append(f"sample_rate={quote(rate)}")
    if draw.random() < 0.3:
        lines = draw.choice(
            ["ab:5", "a:100\na a:100\na a a:100", "x" * 300, "a:1e999", "\0", *TEXTS]
        )
        query.append(f"hot_words={quote(lines[:3000])}")
    if draw.random() < 0.1:
        query.append(draw.choice(["token=x", "token=", "&&&", "=", "sample_rate=8000", "%zz"]))
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(draw.randbytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    if draw.random() < 0.3:
        headers["Sec-WebSocket-Extensions"] = draw.choice(
            ["permessage-deflate", "x; y=1", "deflate"]
        )
    if draw.random() < 0.15:
        name = draw.choice([*headers, "Origin", "Authorization", "Sec-WebSocket-Protocol"])
        headers[name] = draw.choice([*_VALUES, "8", "a, b", "!!!"])
    head = [f"GET /v1/stream?{'&'.join(query)} HTTP/1.1"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode(errors="replace") + b"\r\n\r\n"


def _frame(draw: random.Random, pcm: bytes) -> bytes:
    """Return a frame of audio or text, or one that breaks a rule of RFC 6455."""
    mask = draw.randbytes(4)
    change = draw.randrange(12)
    if change <= 5:
        size = draw.choice([0, 1, 2, 100, 1024, 6400, len(pcm)])
        start = draw.randrange(len(pcm))
        return _packed(2, pcm[start : start + size], mask)
    if change == 6:
        value = mutated_json({"type": "end"}, draw)
        texts = [json.dumps(value), *TEXTS, "{}", '{"type": "end", "a": 1}']
        return _packed(1, draw.choice(texts).encode(errors="surrogatepass"), mask)
    if change == 7:
        return _packed(
            draw.choice([8, 9, 10]), draw.randbytes(draw.choice([0, 2, 50, 125, 126])), mask
        )
    if change == 8:
        code = struct.pack(">H", draw.choice([0, 999, 1000, 1005, 1006, 3000, 65_535]))
        return _packed(8, code + draw.choice([b"", b"bye", b"\xff\xfe"]), mask)
    if change == 9:  # fragments, some of which continue nothing
        final, opcode = draw.choice([0, 0x80]), draw.choice([0, 1, 2])
        return _packed(opcode, pcm[: draw.choice([0, 10, 1000])], mask, first=final)
    if change == 10:
        opcode, length = draw.choice([1, 2, 3, 7, 11, 15]), draw.choice([2**63, 2**64 - 1, 2**21])
        return bytes([0x80 | opcode, 0xFF]) + struct.pack(">Q", length) + mask + pcm[:100]
    first = draw.choice([0xC0, 0xA0, 0x90, 0xF0])
    return _packed(draw.choice([1, 2]), pcm[:64], draw.choice([mask, b""]), first=first)


def _packed(opcode: int, content: bytes, mask: bytes, first: int = 0x80) -> bytes:
    """Return a frame; one without a mask where ``mask`` is empty."""
    masked = 0x80 if mask else 0
    if len(content) < 126:
        length = bytes([masked | len(content)])
    elif len(content) < 2**16:
        length = bytes([masked | 126]) + struct.pack(">H", len(content))
    else:
        length = bytes([masked | 127]) + struct.pack(">Q", len(content))
    if mask:
        repeated = np.resize(np.frombuffer(mask, np.uint8), len(content))
        content = (np.frombuffer(content, np.uint8) ^ repeated).tobytes()
    return bytes([first | opcode]) + length + mask + content


CASES = {"HTTP": http, "WebSocket": websocket}
