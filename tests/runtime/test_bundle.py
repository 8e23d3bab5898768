from __future__ import annotations

import json
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech import files
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.artifact import listed_files
from plainspeech.artifact.listed_files import checksums
from plainspeech.artifact.record import LARGEST_RECORD, Record
from plainspeech.decoding.calibration import Calibration
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import ModelError, PlainspeechError
from plainspeech.features import FeatureSettings
from plainspeech.runtime.bundle import BUNDLE, Bundle, StreamingPart, bundled_model_path
from plainspeech.runtime.frequency_warps import UNWARPED

MakeBundle = Callable[[Path], Path]
PARTS = tuple(f.name for f in fields(Bundle) if f.name != "origin")


def content(bundle: Bundle) -> list[Any]:
    return [getattr(bundle, part) for part in PARTS]


def zipped(folder: Path, archive: Path, top: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, top + path.name)
    return archive


def edit(folder: Path, **changes: Any) -> None:
    """Change ``bundle.json`` as somebody who means it would, with a digest that fits."""
    path = folder / "bundle.json"
    values = {**json.loads(path.read_bytes()), **changes}
    values = {key: value for key, value in values.items() if value is not None}
    path.write_bytes(Record(folder, BUNDLE, values).serialise())


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    alphabet = Alphabet(("ä", " ", "b"))
    features = FeatureSettings(bins=40, low_hz=0, high_hz=7_000.5)
    card = {"name": "München", "results": {"dev-clean": {"wer": 0.25}}, "tiny": 1e-7}
    calibration = Calibration(0.5, 0.25, 1, 0, -0.125, 0.75)
    settings = BeamSettings(alpha=0.9, beam_width=33, calibration=calibration)
    written = Bundle(
        Path(),
        alphabet,
        features,
        0.04,
        card,
        {"float32": b"weights"},
        settings,
        {"words.txt": b"a\n"},
    )
    written.write(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b")
    assert content(loaded) == content(written)
    assert loaded.origin == tmp_path / "b"
    names = [path.name for path in (tmp_path / "b").iterdir()]
    assert sorted(names) == ["bundle.json", "model.onnx", "scorer"]


def test_a_calibration_of_before_there_was_a_weight_for_the_utterance_is_loaded(
    tmp_path: Path,
) -> None:
    calibration = Calibration(0.5, 0.25, 1, 0, -0.125)
    settings = BeamSettings(calibration=calibration)
    networks = {"float32": b"weights"}
    Bundle(Path(), ENGLISH, FeatureSettings(), 0.03, {}, networks, settings).write(tmp_path / "b")
    decoding = json.loads((tmp_path / "b" / "bundle.json").read_text())["decoding"]
    del decoding["calibration"]["utterance"]
    edit(tmp_path / "b", decoding=decoding)
    assert Bundle.load(tmp_path / "b").decoding.calibration == calibration


def test_a_bundle_of_before_there_were_frequency_warps_is_loaded(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    edit(folder, frequency_warps=None)
    assert Bundle.load(folder).frequency_warps == UNWARPED


def test_networks_of_every_kind_are_loaded(tone_bundle: Path, tmp_path: Path) -> None:
    streaming = StreamingPart(FeatureSettings(normalise="running"), {"int8": b"small windows"})
    tones = Bundle.load(tone_bundle)
    networks = {"float32": b"large", "int8": b"small"}
    replace(tones, networks=networks, streaming_part=streaming).write(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b")
    assert (loaded.networks, loaded.streaming_part) == (networks, streaming)
    assert (loaded.precision, loaded.network) == ("int8", b"small")
    assert loaded.in_precision("float32").network == b"large"
    live = loaded.streaming
    assert live is not None
    assert (live.network, live.features, live.streaming) == (
        b"small windows",
        streaming.features,
        None,
    )
    assert (live.decoding, live.scorer_files) == (loaded.decoding, loaded.scorer_files)


def test_a_precision_that_a_bundle_lacks_is_refused(tone_bundle: Path) -> None:
    bundle = Bundle.load(tone_bundle)
    with pytest.raises(PlainspeechError, match="has no network in int8, only in float32"):
        bundle.in_precision("int8")
    with pytest.raises(PlainspeechError, match="unknown precision 'int4'; did you mean 'int8'"):
        bundle.in_precision("int4")


@pytest.mark.parametrize("top", ["", "english/"])
def test_a_zip_is_as_good_as_its_folder(tone_bundle: Path, tmp_path: Path, top: str) -> None:
    archive = zipped(tone_bundle, tmp_path / "b.zip", top)
    assert content(Bundle.load(archive)) == content(Bundle.load(str(tone_bundle)))


def test_other_files_in_the_folder_are_left_alone(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    (folder / "README.md").write_text("hello")
    assert Bundle.load(folder).network


def test_a_bundle_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    def write(folder: Path, model: bytes) -> None:
        Bundle(folder, ENGLISH, FeatureSettings(), 0.03, {}, {"float32": model}).write(folder)

    (tmp_path / "b").mkdir()
    write(tmp_path / "b", b"first")
    write(tmp_path / "b", b"second")
    assert Bundle.load(tmp_path / "b").network == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_bytes(b"dear")
    for name in ("photos", "file"):
        with pytest.raises(PlainspeechError, match=f"{name}: exists and is not a model bundle"):
            write(tmp_path / name, b"third")
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"
    assert (tmp_path / "file").read_bytes() == b"dear"


def test_the_working_directory_is_not_replaced(
    make_tone_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(make_tone_bundle(tmp_path / "b"))
    (tmp_path / "b" / "within").mkdir()
    for here in (tmp_path / "b" / "within", tmp_path / "b"):
        monkeypatch.chdir(here)
        for name in (tmp_path / "b", Path() if here.name == "b" else Path("..")):
            with pytest.raises(ModelError, match="would be replaced, and is the working directory"):
                bundle.write(name)
    monkeypatch.chdir(tmp_path)
    bundle.write(Path("b"))


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_write_that_fails_leaves_the_old_bundle(
    make_tone_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Two files, then the old folder's move aside, then the new one's into its place.

    So where folders cannot be exchanged in one step.
    """
    monkeypatch.setattr(files, "_exchange_call", lambda: None)
    folder = make_tone_bundle(tmp_path / "b")
    before = content(Bundle.load(folder))
    moves = 0

    def fail(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def counted(self: Path, target: Path) -> Path:
            nonlocal moves
            moves += 1
            if moves == failing:
                raise OSError(28, "No space left on device")
            return move(self, target)

        return counted

    monkeypatch.setattr(Path, "replace", fail(Path.replace))
    monkeypatch.setattr(Path, "rename", fail(Path.rename))
    with pytest.raises(PlainspeechError, match="b: cannot be written: No space left"):
        Bundle(folder, ENGLISH, FeatureSettings(), 0.03, {}, {"float32": b"new"}).write(folder)
    monkeypatch.undo()
    assert content(Bundle.load(folder)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@given(data=st.data())
@settings(max_examples=150)
def test_a_flipped_bit_is_never_loaded_as_something_else(
    tone_bundle: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    for path in tone_bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    victim = folder / data.draw(st.sampled_from(["model.onnx", "bundle.json"]))
    damaged = bytearray(victim.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    victim.write_bytes(damaged)
    with pytest.raises(PlainspeechError) as caught:
        Bundle.load(folder)
    assert str(caught.value).startswith(f"{folder}: {victim.name}")
    assert "\n" not in str(caught.value)


@given(data=st.data())
@settings(max_examples=150)
def test_a_flipped_bit_of_a_zip_is_an_error_or_harmless(
    tone_bundle: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    archive = zipped(tone_bundle, tmp_path_factory.mktemp("flipped") / "b.zip")
    damaged = bytearray(archive.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    archive.write_bytes(damaged)
    with suppress(PlainspeechError):
        # The date of a member, say, is no content.
        assert content(Bundle.load(archive)) == content(Bundle.load(tone_bundle))


@pytest.mark.parametrize(
    ("offset", "value"),
    [(6, b"\x54\x00"), (46, b"\xff")],
    ids=["a later version", "a name that is no UTF-8"],
)
def test_a_zip_with_a_directory_that_cannot_be_is_refused(
    tone_bundle: Path, tmp_path: Path, offset: int, value: bytes
) -> None:
    archive = zipped(tone_bundle, tmp_path / "b.zip")
    content = bytearray(archive.read_bytes())
    entry = content.index(b"PK\x01\x02")  # the first of the central directory
    content[entry + 8 : entry + 10] = (1 << 11).to_bytes(2, "little")  # names are UTF-8
    content[entry + offset : entry + offset + len(value)] = value
    archive.write_bytes(content)
    with pytest.raises(PlainspeechError, match="is not a model bundle: neither a folder nor a zip"):
        Bundle.load(archive)


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_a_missing_file_is_named(
    make_tone_bundle: MakeBundle, tmp_path: Path, name: str, as_zip: bool
) -> None:
    path = make_tone_bundle(tmp_path / "b")
    (path / name).unlink()
    if as_zip:
        path = zipped(path, tmp_path / "b.zip")
    with pytest.raises(
        PlainspeechError, match=f"{path.name}: is not a model bundle: {name} is miss"
    ):
        Bundle.load(path)


def test_a_folder_with_a_bundle_in_it_is_no_bundle_but_tells_of_it(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_tone_bundle(tmp_path / "run" / "bundle")
    with pytest.raises(PlainspeechError, match=f"bundle.json is missing; {bundle} is one$"):
        Bundle.load(tmp_path / "run")


def test_what_is_no_bundle_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(PlainspeechError, match=r"a\.txt: is not a model bundle"):
        Bundle.load(tmp_path / "a.txt")
    with pytest.raises(PlainspeechError, match="none: no such model bundle"):
        Bundle.load(tmp_path / "none")


def test_another_format_version_is_refused_before_all_else(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    (folder / "bundle.json").write_text('{"format": 2, "what": "comes next"}')
    with pytest.raises(PlainspeechError, match=r"bundle\.json: has the format 2, .* reads 1"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"format": 1',
        '{"format": NaN}',
        '{"card": 1e999}',
        '{"card": "\\ud800"}',
        "[" * 100_000,
        "9" * 5_000,
    ],
)
def test_a_record_that_is_no_json_object_is_damaged(text: str) -> None:
    with pytest.raises(PlainspeechError, match=r"b: bundle\.json is damaged"):
        Record.parse(Path("b"), BUNDLE, text.encode())


def test_a_record_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(PlainspeechError, match="larger than"):
        Record.parse(Path("b"), BUNDLE, b" " * (LARGEST_RECORD + 1))


def test_faults_of_a_bundle_are_model_errors(make_tone_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    edit(folder, card=[])
    for path in (folder, tmp_path / "none", tmp_path / "b" / "bundle.json"):
        with pytest.raises(ModelError):
            Bundle.load(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alphabet": None}, "'alphabet' is missing or not of type str"),
        ({"alphabet": "abca"}, "bundle.json: alphabet: a symbol is listed twice"),
        ({"card": []}, "'card' is missing or not of type dict"),
        ({"frame_seconds": 0}, "'frame_seconds' must be from"),
        ({"frame_seconds": "0.03"}, "'frame_seconds' is missing or not a number"),
        ({"frame_seconds": 10**400}, "'frame_seconds' is 10+, which is not finite"),
        ({"frame_seconds": True}, "'frame_seconds' is missing or not a number"),
        ({"frequency_warps": 0.9}, "'frequency_warps' is missing or not of type list"),
        ({"frequency_warps": []}, "bundle.json: frequency_warps: has 0 factors"),
        ({"frequency_warps": [0.9, None]}, "bundle.json: frequency_warps: is of type NoneType"),
        ({"frequency_warps": [-1]}, "bundle.json: frequency_warps: -1 is not from 0.5 to 2"),
        ({"features": {}}, "features: 'sample_rate' is missing or not of type int"),
        ({"decoding": {}}, "decoding: 'alpha' is missing or not a number"),
        ({"decoding": {**asdict(BeamSettings()), "beam_width": 0}}, "decoding: beam_width is 0"),
        (
            {"decoding": {**asdict(BeamSettings()), "calibration": {"bias": 0}}},
            "decoding: calibration: 'acoustic' is missing or not a number",
        ),
        ({"files": {}}, "does not list model.int8.onnx or model.onnx"),
        ({"files": {"model.onnx": {"sha256": "0", "bytes": 1 << 50}}}, "bytes are more than"),
        ({"files": {"model.onnx": {"sha256": "0", "bytes": -2}}}, "bytes are more than"),
        ({"files": {"model.onnx": 3}}, "files: 'model.onnx' is missing or not of type dict"),
        ({"files": {"../secret": {"sha256": "0", "bytes": 1}}}, r"\.\./secret' is not allowed"),
        ({"files": {"/secret": {"sha256": "0", "bytes": 1}}}, "/secret' is not allowed"),
        ({"files": {"a/../../b": {"sha256": "0", "bytes": 1}}}, "b' is not allowed"),
        ({"files": {"a\nb": {}}}, r"files: 'a\\nb' is not allowed"),
        ({"files": {"a" * 5_000: {}}}, r"files: 'a{40}' is not allowed"),
        ({"frame_seconds": 1e30}, "'frame_seconds' must be from"),
        ({"frame_seconds": 1e-30}, "'frame_seconds' must be from"),
    ],
)
def test_values_that_cannot_be_are_named(
    make_tone_bundle: MakeBundle, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    edit(folder, **changes)
    with pytest.raises(PlainspeechError, match=says):
        Bundle.load(folder)


@pytest.mark.parametrize("name", [setting.name for setting in fields(FeatureSettings)])
def test_every_feature_setting_is_needed_and_checked(
    make_tone_bundle: MakeBundle, tmp_path: Path, name: str
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    features = json.loads((folder / "bundle.json").read_bytes())["features"]
    edit(folder, features={**features, name: [1]})
    with pytest.raises(PlainspeechError, match=f"features: '{name}' is missing or no"):
        Bundle.load(folder)


def test_a_zip_that_unpacks_to_more_than_it_says_is_not_read_to_its_end(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    (folder / "model.onnx").write_bytes(bytes(50_000_000))
    archive = zipped(folder, tmp_path / "b.zip")
    assert archive.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(PlainspeechError, match=r"model\.onnx is damaged: its size"):
            Bundle.load(archive)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [(8, 1, "is damaged: it is encrypted"), (10, 99, "is damaged: That compression method")],
    ids=["encrypted", "method 99"],
)
def test_a_zip_that_cannot_be_unpacked_is_refused(
    tone_bundle: Path, tmp_path: Path, place: int, value: int, says: str
) -> None:
    archive = zipped(tone_bundle, tmp_path / "b.zip")
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x01\x02", place), (b"PK\x03\x04", place - 2)):
        found = content.find(signature)
        while found >= 0:
            content[found + offset] = value
            found = content.find(signature, found + 4)
    archive.write_bytes(content)
    with pytest.raises(ModelError, match=says) as caught:
        Bundle.load(archive)
    assert len(str(caught.value).splitlines()) == 1


def test_all_files_together_have_a_bound(
    make_tone_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    edit(folder, files=checksums({"model.onnx": b"12345", "other": b"12345"}))
    for name in ("model.onnx", "other"):
        (folder / name).write_bytes(b"12345")
    monkeypatch.setattr(listed_files, "LARGEST_ARTIFACT", 9)
    with pytest.raises(ModelError, match="files: other: 5 bytes are more than"):
        Bundle.load(folder)


def test_a_digest_does_not_care_for_spaces_and_line_ends(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    path = folder / "bundle.json"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert Bundle.load(folder).alphabet == ENGLISH


def test_files_are_read_when_they_are_used_and_not_kept() -> None:
    path = bundled_model_path()
    assert Bundle.load(path).networks  # imports what it needs
    tracemalloc.start()
    bundle = Bundle.load(path)
    kept, _ = tracemalloc.get_traced_memory()
    size = len(bundle.network)
    tracemalloc.stop()
    assert kept < 1_000_000 < size


def test_a_file_that_is_damaged_after_loading_is_noticed(
    make_tone_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    bundle = Bundle.load(folder)
    (folder / "model.onnx").write_bytes(bundle.network[:-1] + b"?")
    with pytest.raises(ModelError, match=r"model\.onnx is damaged"):
        bundle.network  # noqa: B018


@pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux does")
def test_a_declared_size_takes_no_memory(make_tone_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_tone_bundle(tmp_path / "b")
    edit(folder, files={"model.onnx": {"sha256": "0", "bytes": 2**31 - 10}})
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="is damaged"):
            Bundle.load(folder)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
