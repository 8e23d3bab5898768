"""What commands end with that are interrupted."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

import plainspeech
from programs import started

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "2803-154328-0001.flac"


def interruptible() -> None:
    """Shells have what they run in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read_by(command: subprocess.Popen[str], pipe: Path) -> int:
    """Open a pipe for writing that ``command`` reads, and return when it has begun to."""
    end = None
    while command.poll() is None:
        with suppress(OSError):  # nobody reads it yet
            if end is None:
                end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                os.write(end, b" ")
        if end is not None and not fcntl.ioctl(end, termios.FIONREAD, bytes(4)).strip(b"\0"):
            return end
        time.sleep(0.02)
    pytest.fail(f"ended early: {command.communicate()}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="waits with pipes that have names")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["transcribe", "evaluate", "lm package"])
def test_an_interrupted_command_ends_as_the_signal_has_it(
    verb: str, number: signal.Signals, tone_bundle: Path, tmp_path: Path
) -> None:
    pipe, output = tmp_path / "pipe", tmp_path / "output"
    os.mkfifo(pipe)
    verbs: dict[str, list[str | Path]] = {
        "transcribe": ["transcribe", pipe, "--model", tone_bundle, "-o", output],
        "evaluate": ["evaluate", tone_bundle, pipe, "--json", output],
        "lm package": ["lm", "package", pipe, "-o", output],
    }
    with started(*verbs[verb], preexec_fn=interruptible) as command:
        end = read_by(command, pipe)
        command.send_signal(number)
        said = command.communicate(timeout=60)
        os.close(end)
        assert said == ("", "")
        # Without a handler, a shell adds 128 to the number of the signal.
        assert command.returncode in (128 + number, -number)
        assert not output.exists() or not any(output.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="has no signals to send")
def test_listening_to_a_pipe_ends_at_ctrl_c_where_nothing_arrives(tone_bundle: Path) -> None:
    arguments = "listen", "-", "--model", tone_bundle
    with started(*arguments, stdin=subprocess.PIPE, preexec_fn=interruptible) as command:
        assert command.stderr is not None
        assert command.stderr.readline().startswith("listening to standard input")
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 0
        assert command.stderr.read() == ""


def test_ctrl_c_while_libsndfile_reads_is_not_lost(tone_bundle: Path) -> None:
    """It would be taken for the end of the file."""
    code = (
        "import signal\n"
        "from plainspeech.audio.containers import Window\n"
        "from plainspeech.cli import main\n"
        "read = Window.readinto\n"
        "def interrupted(window, buffer):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return read(window, buffer)\n"
        "Window.readinto = interrupted\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "transcribe", str(SAMPLE), "--model", str(tone_bundle)],
        env={**os.environ, "PYTHONPATH": str(Path(plainspeech.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=interruptible,
    )
    assert (done.returncode, done.stderr) == (130, "")
