"""Packed corpora: recordings in tar files of some hundred, for data beyond files and memory.

The format is lhotse's Shar (Żelasko et al., 2021): a folder, local or in an object store, of
``cuts.000000.jsonl.gz``, a line an utterance, and ``recording.000000.tar``, their recordings in
the same order, each followed by its description. lhotse reads what is written here, and its
``SharWriter``'s shards are read here. What lhotse has no means for is why this does not use
it: recordings that are FLAC or Opus already are copied as they are (lhotse decodes them and encodes
them anew), any file system of fsspec serves, and a run resumes within a shard (`plan_packed`).
"""

from __future__ import annotations

import glob
import gzip
import io
import json
import math
import tarfile
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from fsspec.implementations.local import LocalFileSystem

from plainspeech.alphabet import Alphabet
from plainspeech.data.loading import Batch, Samples, batch_of, plan_epoch, waveform_of
from plainspeech.data.manifest import Track, Utterance, untracked
from plainspeech.errors import AudioError, DataError, PlainspeechError
from plainspeech.files import write_atomically
from plainspeech.object_stores import file_system
from plainspeech.pronunciations import Pronunciations

CUTS, RECORDINGS = "cuts.*.jsonl.gz", "recording.*.tar"

FORMATS = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}
"""Formats of recordings, by their suffix, as libsndfile calls them."""

_RATE = 16_000  # Hz, of recordings that are encoded anew


def pack(
    utterances: Sequence[Utterance],
    location: str,
    form: str = "flac",
    shard_size: int = 250,
    seed: int = 1,
    track: Track = untracked,
) -> int:
    """Write ``utterances``, in random order, as shards; return how many shards there are.

    Each shard is a sample of the whole, so that few of them together are varied enough to train on.
    A recording of one channel that is in the format already is copied as it is; any other becomes
    16 bits of 16 kHz. Shards are complete when their ``cuts`` are there, which are written last.

    Args:
        utterances: to write.
        location: a folder or a URL of fsspec, such as ``s3://bucket/folder``.
        form: of `FORMATS`.
        shard_size: utterances in a shard.
        seed: of the order.
        track: shows progress.

    Raises:
        DataError: two utterances have one id; other utterances, or the same in other shards or
            another format, are packed there; or it cannot be written. Where these are there
            already, nothing is done.
        AudioError: a recording cannot be read.
    """
    _refuse_repeated(utterances)
    files, folder = _opened(location)
    order = np.random.default_rng(seed).permutation(len(utterances)).tolist()
    chosen = [
        [utterances[i] for i in order[first : first + shard_size]]
        for first in range(0, len(order), shard_size)
    ]
    try:
        if _is_complete(files, folder):
            if _packed_before(location, form) != [[*map(_told, shard)] for shard in chosen]:
                raise DataError(
                    f"{location}: holds other packed data; name another place, or delete it"
                )
            return len(chosen)
        for pattern in (CUTS, RECORDINGS):  # of a run that was killed
            for leftover in _listed(files, folder, pattern):
                files.rm_file(leftover)
        files.makedirs(folder, exist_ok=True)
        cuts = []
        for number, shard in enumerate(track(chosen, len(chosen))):
            archive, lines = _shard(shard, form)
            _put(files, f"{folder}/recording.{number:06d}.tar", archive)
            cuts.append(gzip.compress(lines.encode(), mtime=0))
        for number, compressed in enumerate(cuts):
            _put(files, f"{folder}/cuts.{number:06d}.jsonl.gz", compressed)
    except PlainspeechError:
        raise
    except Exception as error:  # each store has errors of its own
        raise DataError(f"{location}: cannot be written: {error}") from error
    return len(chosen)


def _refuse_repeated(utterances: Sequence[Utterance]) -> None:
    """Stop where two have one id, by which recordings are found in shards."""
    first: dict[str, Utterance] = {}
    for utterance in utterances:
        other = first.setdefault(utterance.id, utterance)
        if other is not utterance:
            raise DataError(
                f"{utterance.origin}: the id {utterance.id} is already in {other.origin}; give it "
                f"another, or leave it out"
            )


def _is_complete(files: Any, folder: str) -> bool:
    """Return whether there are packed utterances; cuts are written last."""
    return 0 < len(_listed(files, folder, CUTS)) == len(_listed(files, folder, RECORDINGS))


def _listed(files: Any, folder: str, pattern: str) -> list[str]:
    """Return the files of ``folder``, whose name may have what means something in a pattern."""
    return sorted(files.glob(f"{glob.escape(folder)}/{pattern}"))


def _packed_before(location: str, form: str) -> list[list[tuple[str, str, str]]]:
    """Return what `_told` returns of each utterance that is there, by shard; of ``form`` alone."""
    packed = read_packed(location)
    shards: dict[str, list[tuple[str, str, str]]] = {}
    for utterance in packed.utterances:
        shards.setdefault(packed.archives[utterance.id], []).append(_told(utterance))
    return list(shards.values()) if all(_form(url) == form for url in shards) else []


def _told(utterance: Utterance) -> tuple[str, str, str]:
    """Return what shards tell of an utterance but for its recording."""
    return utterance.id, utterance.text, utterance.speaker


def _form(url: str) -> str:
    """Return the suffix of the first recording of a shard."""
    files, path = _opened(url)
    with files.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
        first = tar.next()
    return first.name.rpartition(".")[2] if first else ""


def _put(files: Any, path: str, content: bytes) -> None:
    """Write an object, whole or not at all."""
    if isinstance(files, LocalFileSystem):
        write_atomically(Path(path), content)
    else:
        files.pipe_file(path, content)


def _shard(utterances: Iterable[Utterance], form: str) -> tuple[bytes, str]:
    """Return the tar of a shard and the lines of its cuts."""
    archive, lines = io.BytesIO(), []
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for utterance in utterances:
            content = _encoded(utterance, form)
            recording = _recording(utterance, content)
            _add(tar, f"{utterance.id}.{form}", content)
            _add(tar, f"{utterance.id}.json", json.dumps(recording).encode())
            lines.append(f"{json.dumps(_cut(utterance, recording), ensure_ascii=False)}\n")
    return archive.getvalue(), "".join(lines)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _encoded(utterance: Utterance, form: str) -> bytes:
    """Return the recording in ``form``."""
    kind = FORMATS[form]
    try:
        content = utterance.audio.read_bytes()
        header = soundfile.info(io.BytesIO(content))
        if (header.format, header.subtype, header.channels) == (*kind, 1):
            return content
    except soundfile.LibsndfileError:
        pass  # of FFmpeg's formats
    except OSError as error:
        raise AudioError(f"{utterance.origin}: {utterance.id}: {error}") from error
    samples = waveform_of(utterance.audio, _RATE, utterance)
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, _RATE, format=kind[0], subtype=kind[1])
    return encoded.getvalue()


def _recording(utterance: Utterance, content: bytes) -> dict[str, Any]:
    """Return lhotse's description of a recording whose data are beside it."""
    header = soundfile.info(io.BytesIO(content))
    return {
        "id": utterance.id,
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": header.samplerate,
        "num_samples": header.frames,
        "duration": header.frames / header.samplerate,
        "channel_ids": [0],
    }


def _cut(utterance: Utterance, recording: Mapping[str, Any]) -> dict[str, Any]:
    """Return lhotse's cut of a whole recording with its transcript."""
    supervision = {
        "id": utterance.id,
        "recording_id": utterance.id,
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "text": utterance.text,
        **({"speaker": utterance.speaker} if utterance.speaker else {}),
    }
    return {
        "id": utterance.id,
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "supervisions": [supervision],
        "recording": dict(recording),
        "type": "MonoCut",
    }


@dataclass(frozen=True)
class Packed:
    """The utterances of packed data.

    Attributes:
        utterances: shard by shard.
        archives: the URL of the tar of each, by its id.
    """

    utterances: list[Utterance]
    archives: dict[str, str]


def read_packed(location: str) -> Packed:
    """Read what is packed at ``location``, but for the recordings.

    Raises:
        DataError: there is nothing, or a line is not that of an utterance.
    """
    files, folder = _opened(location)
    try:
        complete = _is_complete(files, folder)
        paths = _listed(files, folder, CUTS) if complete else []
        contents = files.cat(list(map(glob.escape, paths))) if paths else {}
    except Exception as error:  # each store has errors of its own
        raise DataError(f"{location}: cannot be read: {error}") from error
    if not complete:
        raise DataError(
            f"{location}: holds no packed data, or not as many of {CUTS} as of {RECORDINGS}; make "
            f"it with 'plainspeech data pack'"
        )
    packed = Packed([], {})
    for path in paths:
        archive = path.removesuffix(".jsonl.gz").replace("/cuts.", "/recording.") + ".tar"
        where = files.unstrip_protocol(path)
        try:
            lines = gzip.decompress(contents[path]).decode().split("\n")[:-1]
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise DataError(f"{where}: damaged: {error}") from error
        for number, line in enumerate(lines, start=1):
            utterance = _utterance(line, f"{where}, line {number}")
            packed.utterances.append(utterance)
            packed.archives[utterance.id] = files.unstrip_protocol(archive)
    return packed


def _utterance(line: str, where: str) -> Utterance:
    try:
        cut = json.loads(line)
        (supervision,) = cut["supervisions"]
        name, text, duration = cut["id"], supervision["text"], cut["duration"]
        speaker = supervision.get("speaker") or ""
        whole = isinstance(name, str) and isinstance(text, str) and math.isfinite(duration)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not an utterance: {error}") from error
    if not whole or duration <= 0:
        raise DataError(f"{where}: not an utterance: its id, text or duration is wrong")
    return Utterance(name, Path(name), text, float(duration), speaker, where)


def _opened(location: str) -> tuple[Any, str]:
    """Return the file system and the path in it of a folder or URL.

    Raises:
        ConfigurationError: it is of a kind for which nothing is installed.
    """
    files, path = file_system(location)
    return files, path.rstrip("/")


def read_archive(url: str, wanted: Iterable[str]) -> dict[str, bytes]:
    """Return the encoded recordings of the utterances ``wanted``, reading ``url`` once through.

    Raises:
        DataError: it cannot be read, or one is missing.
    """
    left = set(wanted)
    found = {}
    files, path = _opened(url)
    try:
        with files.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for entry in tar:
                name, _, suffix = entry.name.rpartition(".")
                if name in left and suffix != "json" and (content := tar.extractfile(entry)):
                    found[name] = content.read()
                    left.discard(name)
    except Exception as error:  # each store has errors of its own
        raise DataError(f"{url}: cannot be read: {error}") from error
    if left:
        raise DataError(f"{url}: damaged, or not complete: {min(left)} is missing")
    return found


def plan_packed(
    durations: Sequence[float],
    shards: Sequence[Sequence[int]],
    batch_seconds: float,
    streams: int,
    window: int,
    seed: int,
    epoch: int,
) -> list[list[Sequence[int]]]:
    """Return the batches of an epoch, each in ``streams`` parts, of indices into ``durations``.

    The shards are dealt to as many streams in random order. A stream takes ``window`` of its
    shards at a time, and makes batches of all their utterances as `plan_epoch` does. So it is read
    shard by shard, and yet any two utterances may meet: which shards share a window, epoch and
    seed decide. Every utterance is in one part of one batch. Streams end at different times; to the
    last batches some of them add nothing.

    Args:
        durations: seconds of each utterance.
        shards: indices of the utterances of each shard.
        batch_seconds: seconds of audio in a batch, padding included.
        streams: parts of a batch.
        window: shards of a stream that are mixed.
        seed: of the run.
        epoch: counted from 0.
    """
    order = np.random.default_rng((seed, epoch, 1)).permutation(len(shards)).tolist()
    planned = []
    for stream in range(streams):
        own = order[stream::streams]
        batches: list[list[int]] = []
        for first in range(0, len(own), window):
            mixed = [index for shard in own[first : first + window] for index in shards[shard]]
            seconds = [durations[index] for index in mixed]
            plan = plan_epoch(seconds, batch_seconds / streams, seed, epoch)
            batches += [[mixed[place] for place in batch] for batch in plan]
        planned.append(batches)
    return [list(parts) for parts in zip_longest(*planned, fillvalue=())]


class PackedLoader:
    """Makes the batches of a plan from packed data, reading shards a window in advance.

    Memory holds the encoded recordings of the shards in use and of those ahead, no more.

    Args:
        utterances: that plans index; those of a shard one after the other.
        archives: the URL of the tar of each, by its id.
        sample_rate: Hz, of the waveforms.
        alphabet: of the targets.
        threads: that decode.
        window: shards of a stream that are mixed.
        streams: that are read side by side by this process.
        pronunciations: of the words, for targets of phones; None for none.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        archives: Mapping[str, str],
        sample_rate: int,
        alphabet: Alphabet,
        threads: int = 2,
        window: int = 4,
        streams: int = 1,
        pronunciations: Pronunciations | None = None,
    ) -> None:
        self.utterances = utterances
        self._archives = archives
        self._sample_rate = sample_rate
        self._alphabet = alphabet
        self._pronunciations = pronunciations
        self._threads = threads
        self._window = window
        self._ahead = window * streams
        self._durations = [utterance.duration for utterance in utterances]
        runs = groupby(range(len(utterances)), key=lambda i: archives[utterances[i].id])
        self._shards = [list(run) for _, run in runs]

    def steps(
        self, batch_seconds: float, parts: int, seed: int, epoch: int
    ) -> list[list[Sequence[int]]]:
        """Return the batches of an epoch in parts; see `plan_packed`."""
        return plan_packed(
            self._durations, self._shards, batch_seconds, parts, self._window, seed, epoch
        )

    def batches(self, plan: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """Yield the batches of ``plan`` in order."""
        places = [[self._archives[self.utterances[i].id] for i in indices] for indices in plan]
        uses = Counter(url for urls in places for url in urls)
        wanted: dict[str, list[str]] = {}
        for indices, urls in zip(plan, places, strict=True):
            for index, url in zip(indices, urls, strict=True):
                wanted.setdefault(url, []).append(self.utterances[index].id)
        unread = deque(wanted)  # in the order of their first use
        held: dict[str, Future[dict[str, bytes]]] = {}
        made: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(self._threads) as pool:
            try:
                for indices, urls in zip(plan, places, strict=True):
                    while unread and (not held.keys() >= set(urls) or len(held) < 2 * self._ahead):
                        url = unread.popleft()
                        held[url] = reader.submit(read_archive, url, wanted[url])
                    contents = [held[url] for url in urls]
                    made.append(pool.submit(self._make, indices, contents))
                    for url in urls:
                        uses[url] -= 1
                        if not uses[url]:
                            del held[url]  # what is being made still holds it
                    del contents
                    if len(made) > 2 * self._threads:
                        yield made.popleft().result()
                while made:
                    yield made.popleft().result()
            finally:
                for future in made:
                    future.cancel()
                for archive in held.values():
                    archive.cancel()

    def _make(self, indices: Sequence[int], contents: list[Future[dict[str, bytes]]]) -> Batch:
        utterances = tuple(self.utterances[index] for index in indices)
        waveforms: list[Samples] = []
        for utterance, content in zip(utterances, contents, strict=True):
            encoded = io.BytesIO(content.result()[utterance.id])
            waveforms.append(waveform_of(encoded, self._sample_rate, utterance))
        contents.clear()  # a future keeps what it was called with
        return batch_of(utterances, waveforms, self._alphabet, self._pronunciations)
