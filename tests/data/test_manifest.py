from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.data.manifest import Utterance, read_manifest, write_manifest
from plainspeech.errors import DataError, PlainspeechError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text("abc é.-", min_size=1).filter(lambda name: name not in (".", ".."))
LINE = '{"id": "a", "audio": "a.wav", "text": "hi", "duration": 1}'


@given(
    st.lists(st.builds(Utterance, TEXT, NAMES.map(Path), TEXT, st.floats(0, 1e9), TEXT), min_size=1)
)
def test_what_is_written_is_read(utterances: list[Utterance]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        placed = [
            Utterance(u.id, folder / u.audio, u.text, u.duration, u.speaker) for u in utterances
        ]
        write_manifest(folder / "m.jsonl", placed)
        assert read_manifest(folder / "m.jsonl") == placed


@pytest.mark.parametrize(
    ("audio", "written"),
    [
        ("corpus/clips/a.wav", "clips/a.wav"),
        ("corpus/a.wav", "a.wav"),
        ("beside/a.wav", "../beside/a.wav"),
    ],
)
def test_a_corpus_can_be_moved_with_its_manifest(tmp_path: Path, audio: str, written: str) -> None:
    path = tmp_path / "here" / audio
    path.parent.mkdir(parents=True)
    path.touch()
    manifest = tmp_path / "here" / "corpus" / "m.jsonl"
    write_manifest(manifest, [Utterance("a", path, "hi", 1.0)])
    assert json.loads(manifest.read_text())["audio"] == written
    (tmp_path / "here").rename(tmp_path / "there")
    (moved,) = read_manifest(tmp_path / "there" / "corpus" / "m.jsonl")
    assert moved.audio.is_file()


def test_a_recording_elsewhere_is_named_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_manifest(Path("a/b/m.jsonl"), [Utterance("a", Path("x/a.wav"), "hi", 1.0)])
    assert json.loads(Path("a/b/m.jsonl").read_text())["audio"] == str(tmp_path / "x" / "a.wav")


def test_a_manifest_behind_a_link_finds_its_recordings(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "a.wav").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    manifest = tmp_path / "link" / "m.jsonl"
    write_manifest(manifest, [Utterance("a", tmp_path / "real" / "a.wav", "hi", 1.0)])
    assert read_manifest(manifest)[0].audio.is_file()


def test_relative_recordings_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        recording = Path("recordings/a.wav")
        manifest = Path(f"corpus of the {name}/a.jsonl")
        write_manifest(manifest, [Utterance("a", recording, "a", 1.0)])
        (read,) = read_manifest(manifest)
        assert read.audio.resolve() == tmp_path / name / recording


def test_the_line_of_an_utterance_is_known(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f"\ufeff{LINE}\n\n{LINE}\r\n", encoding="utf-8")
    assert [u.origin for u in read_manifest(path)] == [f"{path}, line 1", f"{path}, line 3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[]", "line 2: an utterance must be a JSON object"),
        ('{"id": "a"}', "line 2: the key 'audio' is missing"),
        (LINE.replace('"a"', "7"), "line 2: 'id' is 7"),
        (LINE.replace('"hi"', "null"), "line 2: 'text' is None"),
        (LINE.replace("1", "true"), "line 2: 'duration' is True"),
        (LINE.replace("1", "-1"), "line 2: 'duration' is -1"),
        (LINE.replace("1", "NaN"), "line 2: 'duration' is nan"),
        (LINE.replace("1", "9" * 5000), "line 2: 'duration' is inf"),
        (LINE.replace(', "duration": 1', ""), r"line 2: a: .*a\.wav: no such file"),
        (LINE.replace('"id"', '"offset": 3.5, "id"'), "line 2: a recording from its 'offset' on"),
    ],
)
def test_a_line_that_is_no_utterance_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(PlainspeechError, match=message):
        read_manifest(path)


def test_durations_may_be_missing_where_they_are_about_to_be_measured(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(LINE.replace(', "duration": 1', ""))
    assert read_manifest(path, durations=False)[0].duration == 0


def test_a_recording_and_its_text_are_enough(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips" / "a.b.wav", np.zeros(8_000), 16_000)
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "clips/a.b.wav", "text": "hi"}\n')
    wanted = Utterance("clips/a.b", tmp_path / "clips" / "a.b.wav", "hi", 0.5)
    assert read_manifest(path) == [wanted]


def test_manifests_of_others_are_read_as_they_are(tmp_path: Path) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8_000), 16_000)
    deepspeech = tmp_path / "train.csv"
    deepspeech.write_text(
        'wav_filename,wav_filesize,transcript\na.wav,16044,"hi, there"\nb.wav,16044,one\n'
    )
    nemo = tmp_path / "nemo.json"
    nemo.write_text(
        '{"audio_filepath": "a.wav", "duration": 0.5, "text": "hi, there", "offset": 0}\n'
        '{"audio_filepath": "b.wav", "duration": 0.5, "text": "one", "lang": "en"}\n'
    )
    wanted = [
        Utterance("a", tmp_path / "a.wav", "hi, there", 0.5),
        Utterance("b", tmp_path / "b.wav", "one", 0.5),
    ]
    assert read_manifest(deepspeech) == wanted
    assert read_manifest(nemo) == wanted
    assert [u.origin for u in read_manifest(deepspeech)] == [
        f"{deepspeech}, line 2",
        f"{deepspeech}, line 3",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("wav_filename,transcript\na.wav", "line 2: the key 'text' is missing"),
        ("a,b\n1,2", "line 2: the key 'id' is missing"),
        ("audio,text,duration\na.wav,hi,long", "line 2: 'duration' is 'long'"),
        ("audio,text,duration\na.wav,hi,nan", "line 2: 'duration' is nan"),
        ("audio,text\na.wav," + "x" * 200_000, "line 1: not CSV: field larger"),
        ("audio,text\n", "the manifest has no utterance"),
    ],
)
def test_a_row_that_is_no_utterance_is_named(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(rows)
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_a_corpus_that_is_not_there_names_the_commands_that_get_it(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    with pytest.raises(DataError) as caught:
        read_manifest(folder / "dev-clean-2.jsonl")
    assert str(caught.value) == (
        f"{folder}/dev-clean-2.jsonl: there is no such manifest; make it with 'plainspeech data "
        f"download --subset dev-clean-2 {folder}' and 'plainspeech data prepare "
        f"{folder}/LibriSpeech/dev-clean-2 -o {folder}/dev-clean-2.jsonl'"
    )
    with pytest.raises(DataError, match=r"own\.jsonl: there is no such manifest$"):
        read_manifest(folder / "own.jsonl")


@pytest.mark.parametrize("content", [None, b"\n\n", b"\xff\xfe"])
def test_no_manifest(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlainspeechError, match=r"m\.jsonl: "):
        read_manifest(path)


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="is a folder; make a manifest of it with 'plainspeech data"
    ):
        read_manifest(tmp_path)


def test_an_unwritable_manifest_is_named_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("old")
    with pytest.raises(PlainspeechError, match=r"m\.jsonl/below a file: cannot write"):
        write_manifest(path / "below a file", [])
    assert path.read_text() == "old"


def test_a_path_with_half_of_a_surrogate_pair_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [Utterance("a", tmp_path / "\ud800.wav", "hi", 1.0)])
    assert path.read_bytes().isascii()
    assert [one.audio for one in read_manifest(path)] == [tmp_path / "\ud800.wav"]


def test_a_long_value_is_not_repeated(tmp_path: Path) -> None:
    line = {"id": "a", "audio": "a.wav", "text": "a", "duration": "x" * 5000}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    with pytest.raises(DataError, match="'duration' is 'x") as error:
        read_manifest(tmp_path / "m.jsonl")
    assert len(str(error.value)) < 300
