from __future__ import annotations

import gc
import gzip
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from conftest import Plainspeech
from plainspeech.alphabet import ENGLISH
from plainspeech.data import packed
from plainspeech.data.loading import Batch, Loader, WaveformSource
from plainspeech.data.manifest import Utterance, write_manifest
from plainspeech.data.packed import PackedLoader, pack, plan_packed, read_archive, read_packed
from plainspeech.errors import ConfigurationError, DataError, PlainspeechError

COUNT = 23


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Recordings in several formats, some of them FLAC of 16 bits as most corpora are."""
    folder, random = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    found = []
    for index in range(COUNT):
        suffix = ("flac", "flac", "wav", "opus")[index % 4]
        path = folder / f"{index}.{suffix}"
        samples = random.integers(-9_999, 9_999, 1_600 + 320 * index, np.int16)
        soundfile.write(path, samples, 16_000, format="OGG" if suffix == "opus" else None,
                        subtype="OPUS" if suffix == "opus" else None)  # fmt: skip
        name = f"s{index % 5}/u.{index}"  # slashes and dots are allowed in ids
        found.append(Utterance(name, path, f"a {index % 3 * 'b'}", len(samples) / 16_000, "84"))
    return found


def loaders(utterances: list[Utterance], folder: Path, **options: Any) -> tuple[Any, Loader]:
    """Return a loader of the packed utterances, and one of the files in the same order."""
    found = read_packed(str(folder))
    files = {u.id: u for u in utterances}
    whole = PackedLoader(found.utterances, found.archives, 16_000, ENGLISH, **options)
    in_order = [files[u.id] for u in found.utterances]
    return whole, Loader(in_order, WaveformSource(16_000, 1e9), ENGLISH)


def bits(batch: Batch) -> tuple[list[str], bytes, bytes]:
    return [u.id for u in batch.utterances], batch.waveforms.tobytes(), batch.targets.tobytes()


def flat(steps: list[list[Any]]) -> list[Any]:
    return [part for step in steps for part in step if len(part)]


def test_what_is_packed_is_what_was_there(utterances: list[Utterance], tmp_path: Path) -> None:
    assert pack(utterances, str(tmp_path / "p"), shard_size=5) == 5
    found = read_packed(str(tmp_path / "p"))
    assert [u.id for u in found.utterances] != [u.id for u in utterances]  # shuffled
    known = {u.id: u for u in utterances}
    for utterance in found.utterances:
        own = known.pop(utterance.id)
        assert (utterance.text, utterance.speaker) == (own.text, own.speaker)
        assert utterance.duration == pytest.approx(own.duration, abs=0.01)  # of Opus: 48 kHz
        content = read_archive(found.archives[own.id], [own.id])[own.id]
        if own.audio.suffix == ".flac":
            assert content == own.audio.read_bytes()
        samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
        assert (samples == WaveformSource(16_000, 0)(own)).all()
    assert not known


def test_opus_is_smaller(utterances: list[Utterance], tmp_path: Path) -> None:
    for form in ("flac", "opus"):
        pack(utterances, str(tmp_path / form), form)
    sizes = {form: (tmp_path / form / "recording.000000.tar").stat().st_size
             for form in ("flac", "opus")}  # fmt: skip
    assert sizes["opus"] < 0.6 * sizes["flac"]
    found = read_packed(str(tmp_path / "opus"))
    for own in (u for u in utterances if u.audio.suffix == ".opus"):
        content = read_archive(found.archives[own.id], [own.id])[own.id]
        assert content == own.audio.read_bytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lhotse_reads_it(utterances: list[Utterance], tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse", reason="needs the lhotse extra")
    pack(utterances, str(tmp_path / "p"), shard_size=6)
    known = {u.id: u for u in utterances}
    for cut in lhotse.CutSet.from_shar(in_dir=tmp_path / "p"):
        own = known.pop(cut.id)
        assert cut.supervisions[0].text == own.text
        assert cut.supervisions[0].speaker == "84"
        waveform = WaveformSource(16_000, 0)(own) / 32_768
        np.testing.assert_allclose(cut.load_audio()[0], waveform, atol=1e-4)
    assert not known
    gc.collect()  # lhotse leaves its archives open


def test_what_lhotse_has_written_is_read(utterances: list[Utterance], tmp_path: Path) -> None:
    pytest.importorskip("lhotse", reason="needs the lhotse extra")
    from lhotse.shar import SharWriter

    from plainspeech.data.lhotse import to_cuts

    flacs = [u for u in utterances if u.audio.suffix == ".flac"]
    with SharWriter(tmp_path, fields={"recording": "flac"}, shard_size=4) as writer:
        for cut in to_cuts(flacs):
            writer.write(cut)
    packed_loader, _ = loaders(utterances, tmp_path)
    (batch,) = packed_loader.batches([range(len(flacs))])
    assert [u.id for u in batch.utterances] == [u.id for u in flacs]
    for row, length, own in zip(batch.waveforms, batch.lengths, flacs, strict=True):
        # lhotse encodes anew, which rounds.
        difference = row[:length].astype(int) - WaveformSource(16_000, 0)(own)
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_those_of_the_files(
    utterances: list[Utterance], tmp_path: Path, threads: int
) -> None:
    pack(utterances, str(tmp_path / "p"), shard_size=4)
    shards, files = loaders(utterances, tmp_path / "p", threads=threads, window=2, streams=2)
    plan = flat(shards.steps(1.0, 2, seed=3, epoch=1))
    assert len(plan) > 4
    expected = [bits(batch) for batch in files.batches(plan)]
    assert [bits(batch) for batch in shards.batches(plan)] == expected
    for done in range(len(plan)):  # to go on anywhere, also within a shard
        assert bits(next(iter(shards.batches(plan[done:])))) == expected[done]


def test_a_process_reads_the_shards_of_its_streams_alone(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(utterances, str(tmp_path / "p"), shard_size=2)
    shards, _ = loaders(utterances, tmp_path / "p", window=2)
    steps = shards.steps(1.0, 3, seed=1, epoch=2)
    read: list[str] = []

    def noted(url: str, wanted: list[str]) -> dict[str, bytes]:
        read.append(url)
        return read_archive(url, wanted)

    monkeypatch.setattr(packed, "read_archive", noted)
    for rank in range(3):
        list(shards.batches(flat([step[rank::3] for step in steps])))
    assert sorted(read) == sorted(set(read))  # each once, by one of the three
    assert len(read) == 12


def test_no_more_shards_are_read_than_a_window_ahead(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(utterances, str(tmp_path / "p"), shard_size=1)
    shards, _ = loaders(utterances, tmp_path / "p", window=2, threads=1)
    read: list[str] = []

    def noted(url: str, wanted: list[str]) -> dict[str, bytes]:
        read.append(url)
        return read_archive(url, wanted)

    monkeypatch.setattr(packed, "read_archive", noted)
    batches = shards.batches(flat(shards.steps(0.1, 1, seed=1, epoch=0)))
    next(batches)
    batches.close()
    assert len(read) <= 3 + 2 * 2  # of the batches made in advance, and two windows of two


corpora = st.lists(st.lists(st.floats(0.1, 35), min_size=1, max_size=9), min_size=1, max_size=12)


@given(corpora, st.floats(1, 200), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_every_utterance_is_in_one_part(
    corpus: list[list[float]], limit: float, streams: int, window: int, epoch: int
) -> None:
    durations = list(chain.from_iterable(corpus))
    ends = np.cumsum([len(shard) for shard in corpus]).tolist()
    shards = [range(end - len(shard), end) for shard, end in zip(corpus, ends, strict=True)]
    shard_of = {index: place for place, shard in enumerate(shards) for index in shard}
    plan = plan_packed(durations, shards, limit, streams, window, 1, epoch)
    assert all(len(step) == streams and any(map(len, step)) for step in plan)
    assert sorted(i for step in plan for part in step for i in part) == list(range(len(durations)))
    taken: list[set[int]] = []
    for stream in range(streams):
        parts = [step[stream] for step in plan]
        for part in filter(len, parts):
            padded = max(durations[i] for i in part) * len(part)
            assert padded <= limit / streams * (1 + 1e-9) or len(part) == 1
        order = list(dict.fromkeys(shard_of[i] for part in parts for i in part))
        taken.append(set(order))
        # Never more shards at a time than the window has.
        places = [[shard_of[i] for i in part] for part in parts if len(part)]
        for place, shard in enumerate(order):
            last = max(k for k, own in enumerate(places) if shard in own)
            open_then = {s for own in places[: last + 1] for s in own} - {
                s for s in order if all(s not in own for own in places[last:])
            }
            assert len(open_then) <= window, place
    assert sum(map(len, taken)) == len(set().union(*taken)) == len(shards)


def test_what_cannot_be_read_is_named(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlainspeechError, match=r"holds no packed data, .*'plainspeech data pack'"):
        read_packed(str(tmp_path))
    place = tmp_path / "p"
    pack(utterances, str(place), shard_size=50)
    with pytest.raises(PlainspeechError, match="holds other packed data; name another"):
        pack(utterances, str(place), seed=2)
    assert pack(utterances, str(place), shard_size=50) == 1  # these are there already
    found = read_packed(str(place))
    url = found.archives[utterances[0].id]
    with pytest.raises(PlainspeechError, match=r"recording.000000.tar: .*not complete: x is miss"):
        read_archive(url, [utterances[0].id, "x"])
    tar = place / "recording.000000.tar"
    tar.write_bytes(tar.read_bytes()[:3_000])
    with pytest.raises(PlainspeechError, match=r"recording.000000.tar: "):
        read_archive(url, [u.id for u in utterances])
    tar.unlink()
    with pytest.raises(PlainspeechError, match=r"recording.000000.tar: cannot be read"):
        read_archive(url, [utterances[0].id])
    with pytest.raises(PlainspeechError, match=r"p: holds no packed data, or not as many of cuts"):
        read_packed(str(place))
    tar.write_bytes(b"")
    (place / "cuts.000000.jsonl.gz").write_bytes(gzip.compress(b"{}\n")[:-9])
    with pytest.raises(PlainspeechError, match=r"cuts.000000.jsonl.gz: damaged"):
        read_packed(str(place))
    (place / "cuts.000000.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n'))
    with pytest.raises(PlainspeechError, match=r"cuts.000000.jsonl.gz, line 1: not an utterance"):
        read_packed(str(place))
    monkeypatch.setitem(sys.modules, "s3fs", None)
    registry = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(registry, "s3", raising=False)  # of another test
    with pytest.raises(ConfigurationError, match=r"constraints.txt '\.\[s3\]'"):
        read_packed("s3://bucket/place")


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"text": "another text"}, {}),
        ({"speaker": "somebody else"}, {}),
        ({}, {"form": "opus"}),
        ({}, {"shard_size": 13}),  # as many shards as of 12
    ],
)
def test_what_was_packed_otherwise_is_not_taken_for_what_is_asked_for(
    utterances: list[Utterance], tmp_path: Path, changes: Any, options: Any
) -> None:
    pack(utterances, str(tmp_path), shard_size=12)
    assert pack(utterances, str(tmp_path), shard_size=12) == 2
    changed = [replace(utterances[0], **changes), *utterances[1:]]
    with pytest.raises(DataError, match="holds other packed data; name another place, or delete"):
        pack(changed, str(tmp_path), **{"shard_size": 12, **options})


def test_two_recordings_of_one_id_are_not_packed(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    twice = replace(utterances[1], id=utterances[0].id, origin="m.jsonl, line 2")
    told = f"^m.jsonl, line 2: the id {utterances[0].id} is already in "
    with pytest.raises(DataError, match=told):
        pack([utterances[0], twice], str(tmp_path))


def test_a_folder_may_have_any_name(utterances: list[Utterance], tmp_path: Path) -> None:
    folder = str(tmp_path / "my [da*ta]?")
    assert pack(utterances, folder, shard_size=10) == 3
    assert len(read_packed(folder).utterances) == COUNT
    with pytest.raises(PlainspeechError, match="holds other packed data"):
        pack(utterances[1:], folder)


def test_the_rest_of_a_killed_run_is_replaced(utterances: list[Utterance], tmp_path: Path) -> None:
    (tmp_path / "recording.000007.tar").write_bytes(b"")
    pack(utterances, str(tmp_path), shard_size=12)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{kind}.{n:06d}.{end}" for kind, end in (("cuts", "jsonl.gz"), ("recording", "tar"))
        for n in range(2)
    ]  # fmt: skip


def test_the_verb(plainspeech: Plainspeech, utterances: list[Utterance], tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", utterances)
    arguments = ("data", "pack", tmp_path / "m.jsonl", "-o", tmp_path / "p", "--shard-size", "9")
    status, told = plainspeech(*arguments)
    assert (status, told) == (0, f"{tmp_path / 'p'}: 23 utterances, 0.1 min, in 3 shards\n")
    status, told = plainspeech(*arguments[:4], tmp_path / "q", "--audio", "mp3")
    assert (status, told) == (1, "error: --audio mp3: choose one of: flac, opus\n")
    with tarfile.open(tmp_path / "p" / "recording.000000.tar") as tar:
        names = tar.getnames()
    first = json.loads(
        gzip.decompress((tmp_path / "p" / "cuts.000000.jsonl.gz").read_bytes())
        .splitlines()[0]
    )  # fmt: skip
    assert names[:2] == [f"{first['id']}.flac", f"{first['id']}.json"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3 server on this machine."""
    pytest.importorskip("s3fs", reason="needs the s3 extra")
    server_of = pytest.importorskip("moto.server", reason="needs moto").ThreadedMotoServer
    import s3fs

    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket/corpus"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_object_store_is_as_good_as_a_folder(
    utterances: list[Utterance], tmp_path: Path, bucket: str
) -> None:
    for place in (bucket, str(tmp_path / "p")):
        pack(utterances, place, shard_size=5)
    remote, local = read_packed(bucket), read_packed(str(tmp_path / "p"))
    assert remote.utterances == local.utterances
    assert all(url.startswith(f"{bucket}/recording.0") for url in remote.archives.values())
    from_remote, from_local = (
        PackedLoader(found.utterances, found.archives, 16_000, ENGLISH) for found in (remote, local)
    )
    plan = flat(from_local.steps(1.0, 1, seed=1, epoch=1))
    assert plan == flat(from_remote.steps(1.0, 1, seed=1, epoch=1))
    for one, other in zip(from_remote.batches(plan), from_local.batches(plan), strict=True):
        assert bits(one) == bits(other)
    with pytest.raises(PlainspeechError, match="other packed data"):
        pack(utterances[1:], bucket)
