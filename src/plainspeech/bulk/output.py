"""The folder that a bulk transcription writes: every id once, whatever was killed when.

::

    job.json                  the settings and the model, so that others are refused
    jsonl/part-00000.jsonl    a row a line: id, audio, model, and what the format json has
    parquet/part-00000.parquet  the same rows
    failed.jsonl              what has no row: id, audio, error; tried again by the next run

Rows are collected, and written as one part, whole or not at all: then they are done, and before
they are not there. The Parquet file of a part is made from its JSON lines, by the next run if this
one is killed between the two. The order of rows is that in which they were done.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from plainspeech.bulk import tables
from plainspeech.bulk.work import Outcome
from plainspeech.errors import ConfigurationError, DataError
from plainspeech.files import exclusive, shown, write_atomically

FORMAT = 1
"""The version of the format that this package writes, and the only one that it continues."""

_JOB, _FAILED, _LOCK = "job.json", "failed.jsonl", ".lock"
_PART_ROWS = 1_000
_PART_BYTES = 32_000_000
_PART_SECONDS = 60.0  # of work that a killed run loses, at most


class Output:
    """The folder while a run writes to it; `opened` makes one.

    Attributes:
        done: the recording of each id that has a row.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.done: dict[str, str] = {}
        self._rows: list[str] = []
        self._bytes = 0
        self._since = 0.0  # when the first of these rows came, by time.monotonic
        self._parts = 0

    def add(self, outcome: Outcome) -> None:
        """Take an outcome; now and then those since the last time are written.

        Raises:
            ConfigurationError: they cannot be written.
        """
        if outcome.row is None:
            with _writing(self._folder / _FAILED) as path, path.open("a", encoding="utf-8") as file:
                values = {"id": outcome.id, "audio": shown(outcome.audio), "error": outcome.error}
                file.write(json.dumps(values, ensure_ascii=False) + "\n")
            return
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(outcome.row)
        self._bytes += len(outcome.row)
        late = time.monotonic() - self._since >= _PART_SECONDS
        if late or len(self._rows) >= _PART_ROWS or self._bytes >= _PART_BYTES:
            self.commit()

    def commit(self) -> None:
        """Write what has been added as a part.

        Raises:
            ConfigurationError: it cannot be written.
        """
        if not self._rows:
            return
        part = self._folder / "jsonl" / f"part-{self._parts:05}.jsonl"
        with _writing(part):
            write_atomically(part, "".join(f"{row}\n" for row in self._rows).encode())
        self._parts += 1
        self._rows, self._bytes = [], 0
        with _writing(self._parquet(part)) as path:
            tables.write_parquet(part, path)

    def resume(self) -> None:
        """Take what earlier runs have done; what has failed is to be tried again.

        Raises:
            DataError: a file of theirs is damaged.
            ConfigurationError: nothing can be written.
        """
        for part in sorted((self._folder / "jsonl").glob("part-*.jsonl")):
            path = self._parquet(part)
            if not path.exists():
                with _writing(path):
                    tables.write_parquet(part, path)
            self.done.update(tables.read_done(path))
            self._parts = int(part.stem.removeprefix("part-")) + 1
        with _writing(self._folder / _FAILED) as path:
            path.unlink(missing_ok=True)

    def _parquet(self, part: Path) -> Path:
        return self._folder / "parquet" / f"{part.stem}.parquet"


@contextmanager
def opened(folder: Path, identity: Mapping[str, Any]) -> Iterator[Output]:
    """Yield the output ``folder``, new or of an earlier run; in the end the last part is written.

    Args:
        folder: is created if it does not exist.
        identity: what the transcripts depend on, as JSON values.

    Raises:
        ConfigurationError: the folder has something else in it, or transcripts with another
            ``identity``; another run writes there; it cannot be written to.
        DataError: a file in it is damaged.
    """
    if folder.is_file():
        raise ConfigurationError(f"{folder}: is a file; --output must be a folder")
    with ExitStack() as stack:
        with _writing(folder / _LOCK) as lock:
            alone = stack.enter_context(exclusive(lock))
        if not alone:
            raise ConfigurationError(f"{folder}: another run is writing there")
        _check_job(folder, identity)
        output = Output(folder)
        output.resume()
        stack.callback(output.commit)
        yield output


def _check_job(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write what the transcripts depend on, or check that an earlier run's did on the same."""
    job = {"format": FORMAT, **identity}
    file = folder / _JOB
    if not file.exists():
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise ConfigurationError(
                f"{folder}: is not empty and has no {_JOB}; choose another folder for --output"
            )
        with _writing(file):
            text = json.dumps(job, ensure_ascii=False, indent=1)
            write_atomically(file, f"{text}\n".encode(errors="backslashreplace"))
        return
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key in job if earlier.get(key) != job[key]]
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{file}: cannot be read: {error}; choose another --output") from error
    if differing:
        key = differing[0]
        raise ConfigurationError(
            f"{folder}: has transcripts with other settings: {key.replace('_', ' ')} is "
            f"{_shown(earlier.get(key))} there, not {_shown(job[key])}; choose another --output"
        )


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Yield ``path``, whose folder exists then; what goes wrong is one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise ConfigurationError(f"{path}: cannot be written: {reason}") from error
