"""Outputs on disk: the same again, or none."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError
from plainspeech.evaluation.recognition import Unreadable
from plainspeech.runtime.bundle import Bundle
from plainspeech.tuning.outputs import Outputs, cache_file, load, save

SYMBOLS = 3


def utterances(count: int, folder: Path = Path()) -> list[Utterance]:
    return [Utterance(f"u{place}", folder / f"{place}.wav", "a", 1.0) for place in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@settings(max_examples=40)
@given(st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=8))
def test_what_is_loaded_is_what_was_saved(folder: Path, frames: list[int | None]) -> None:
    """A length for each utterance; None for one that could not be read."""
    draw = np.random.default_rng(0)
    rows = {
        place: draw.normal(size=(length, SYMBOLS)).astype(np.float32)
        for place, length in enumerate(frames)
        if length is not None
    }
    missing = {
        place: Unreadable(f"u{place}", f"{place}.wav: größer")
        for place, length in enumerate(frames)
        if length is None
    }
    save(folder / "o.npz", Outputs(rows, missing, 1.25), len(frames), SYMBOLS)
    found = load(folder / "o.npz", utterances(len(frames)), SYMBOLS)
    assert found is not None
    assert (found.missing, found.audio_seconds) == (missing, 1.25)
    assert found.log_probabilities.keys() == rows.keys()
    for place, array in rows.items():
        np.testing.assert_array_equal(found.log_probabilities[place], array)


def test_what_is_damaged_or_of_another_size_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "o.npz"
    assert load(path, utterances(1), SYMBOLS) is None
    save(path, Outputs({0: np.zeros((4, SYMBOLS), np.float32)}, {}, 1.0), 1, SYMBOLS)
    whole = path.read_bytes()
    assert load(path, utterances(1), SYMBOLS) is not None
    assert load(path, utterances(2), SYMBOLS) is None
    assert load(path, utterances(1), SYMBOLS + 1) is None
    for damaged in (b"", whole[: len(whole) // 2], b"x" + whole[1:], b"\x93NUMPY"):
        path.write_bytes(damaged)
        assert load(path, utterances(1), SYMBOLS) is None


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path, draw = tmp_path / "o.npz", random.Random(1)
    outputs = {place: np.zeros((5, SYMBOLS), np.float32) for place in range(3)}
    save(path, Outputs(outputs, {}, 3.0), 3, SYMBOLS)
    whole = path.read_bytes()
    ends = [*range(40), *range(len(whole) - 700, len(whole))]
    for place in [*ends, *(draw.randrange(len(whole)) for _ in range(500))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        assert load(path, utterances(3), SYMBOLS) is None


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, frames=np.array([object()], dtype=object))
    given = hashlib.sha256(content.getvalue()).digest() + content.getvalue()
    (tmp_path / "o.npz").write_bytes(given)
    assert load(tmp_path / "o.npz", utterances(1), SYMBOLS) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlainspeechError, match=r"file: cannot be written: .* another folder"):
        save(tmp_path / "file" / "o.npz", Outputs({}, {}, 0.0), 1, SYMBOLS)


def test_the_name_changes_with_all_that_the_outputs_depend_on(
    tone_bundle: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(tone_bundle)
    manifest, recording = tmp_path / "m.jsonl", tmp_path / "0.wav"
    manifest.write_text("one")
    recording.write_bytes(b"some")
    said = utterances(1, tmp_path)
    names = [cache_file(tmp_path, bundle, manifest, said)]
    assert cache_file(tmp_path, replace(bundle, card={}), manifest, said) == names[0]
    features = replace(bundle.features, bins=40)
    names += [cache_file(tmp_path, replace(bundle, networks={"float32": b""}), manifest, said)]
    names += [cache_file(tmp_path, replace(bundle, features=features), manifest, said)]
    recording.write_bytes(b"others")
    names += [cache_file(tmp_path, bundle, manifest, said)]
    recording.unlink()
    names += [cache_file(tmp_path, bundle, manifest, said)]
    manifest.write_text("another")
    names += [cache_file(tmp_path, bundle, manifest, said)]
    assert len(set(names)) == len(names)


def test_a_damaged_archive_of_the_right_hash_is_not_there(tmp_path: Path) -> None:
    """Whatever `zipfile` and NumPy raise: an array that is another file, a strange compression."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("missing.npy", b"no array")
    whole = content.getvalue()
    method = bytearray(whole)
    method[whole.index(b"PK\1\2") + 10] = 99
    for damaged in (b"", whole, bytes(method)):
        path = tmp_path / "o.outputs"
        path.write_bytes(hashlib.sha256(damaged).digest() + damaged)
        assert load(path, [], 29) is None
