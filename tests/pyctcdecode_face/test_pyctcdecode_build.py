"""Labels, models and files, and standing in for pyctcdecode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plainspeech.pyctcdecode as face
from plainspeech.errors import PlainspeechError
from plainspeech.pyctcdecode import (
    Alphabet,
    BeamSearchDecoderCTC,
    LanguageModel,
    build_ctcdecoder,
    install_as_pyctcdecode,
)

ARPA = """\
\\data\\
ngram 1=6
ngram 2=1

\\1-grams:
-2.0\t<unk>\t0
0\t<s>\t-0.3
-1.1\t</s>\t0
-0.9\tab\t-0.2
-1.3\tba\t-0.1
-0.7\tAb-\t-0.4

\\2-grams:
-0.1\t<s> ab

\\end\\
"""
TRANSFORMERS = ["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b"]


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "model.arpa"
    path.write_text(ARPA)
    return path


def written(text: list[str], labels: list[str], blank: str) -> Any:
    """Return logits for ``text``, a blank after each of its labels."""
    rows = np.zeros((2 * len(text), len(labels)))
    rows[::2][np.arange(len(text)), [labels.index(label) for label in text]] = 20.0
    rows[1::2, labels.index(blank)] = 20.0
    return rows


@pytest.mark.parametrize(
    ("labels", "expected"),  # of pyctcdecode 0.5.0
    [
        (TRANSFORMERS, ["", "<s>", "</s>", "⁇", " ", "a", "b"]),
        (["[PAD]", "[UNK]", "|", "a"], ["", "⁇", " ", "a"]),
        ([" ", "a", "b"], [" ", "a", "b", ""]),
        (["a", "b", "_"], ["a", "b", ""]),
        (["a", "|", " ", ""], ["a", "|", " ", ""]),
    ],
)
def test_labels_are_read_as_by_pyctcdecode(labels: list[str], expected: list[str]) -> None:
    alphabet = Alphabet.build_alphabet(labels)
    assert alphabet.labels == expected
    assert not alphabet.is_bpe
    assert Alphabet.loads(alphabet.dumps()).labels == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["<unk>", "▁bug", "s", ""], "'▁bug' is for pieces of words"),
        (["##s", "bug", ""], "'##s' is for pieces of words"),
        (["a", "ch", ""], "'ch' has several characters"),
        (["a", "b", "a"], "'a' is listed twice"),
        (["a", "", "<pad>"], "'' is listed twice"),
    ],
)
def test_labels_that_cannot_be_are_told(labels: list[str], message: str) -> None:
    with pytest.raises(PlainspeechError, match=message):
        build_ctcdecoder(labels)


@given(st.permutations(["<pad>", "<s>", "<unk>", "|", "a", "b", "\ue000"]))
def test_the_order_of_the_labels_does_not_matter(labels: list[str]) -> None:
    text = ["a", "b", "|", "<s>", "a", "<unk>", "\ue000"]
    found = build_ctcdecoder(labels).decode_beams(written(text, labels, "<pad>"))[0]
    assert found.text == "ab <s>a⁇\ue000"
    assert found.text_frames == [("ab", (0, 3)), ("<s>a⁇\ue000", (6, 13))]


def test_words_that_the_labels_cannot_write_are_left_out(arpa: Path) -> None:
    decoder = build_ctcdecoder(TRANSFORMERS, arpa)
    model = decoder.model_container[decoder._model_key]
    assert model is not None
    assert model.unigrams == ["Ab-", "ab", "ba"]
    assert model.order == 2
    assert decoder.decode(written(["b", "a"], TRANSFORMERS, "<pad>")) == "ba"


def lm_part(decoder: BeamSearchDecoderCTC, text: list[str]) -> float:
    beam = decoder.decode_beams(written(text, TRANSFORMERS, "<pad>"))[0]
    return beam.lm_score - beam.logit_score


def test_words_outside_the_unigrams_are_unknown(arpa: Path) -> None:
    text = ["b", "a"]
    whole, part = build_ctcdecoder(TRANSFORMERS, arpa), build_ctcdecoder(TRANSFORMERS, arpa, ["ab"])
    log10 = 0.5 * np.log(10)
    assert lm_part(whole, text) == pytest.approx(log10 * (-0.3 - 1.3 - 0.1 - 1.1) + 1.5, abs=1e-5)
    assert lm_part(part, text) == pytest.approx(log10 * (-0.3 - 2.0 - 1.1 - 10) + 1.5, abs=1e-5)
    also = build_ctcdecoder(TRANSFORMERS, arpa, ["ab", "aa"])  # which the model does not have
    assert lm_part(also, ["a", "a"]) == pytest.approx(lm_part(part, ["a", "a"]))


def test_no_word_to_write_is_an_error(arpa: Path) -> None:
    with pytest.raises(PlainspeechError, match=r"model\.arpa: no known word.*upper and lower case"):
        build_ctcdecoder(["<pad>", "|", "A", "B"], arpa)


def test_a_binary_needs_unigrams(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    with pytest.raises(PlainspeechError, match=r"model\.bin: .*give them as unigrams"):
        LanguageModel(tmp_path / "model.bin")
    with pytest.raises(PlainspeechError, match=r"model\.bin: is not a KenLM binary, or is damaged"):
        LanguageModel(tmp_path / "model.bin", ["ab"])
    with pytest.raises(PlainspeechError, match=r"no\.arpa: cannot be read: No such file"):
        LanguageModel(tmp_path / "no.arpa")


def test_kenlm_answers_for_a_binary(arpa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["b", "a"], ["b", "b"]
    flat = [lm_part(build_ctcdecoder(TRANSFORMERS, arpa), text) for text in texts]
    face = "plainspeech.pyctcdecode.language_model"
    monkeypatch.setattr(f"{face}.is_kenlm_binary", lambda path: path == arpa)
    decoder = build_ctcdecoder(TRANSFORMERS, arpa, ["ab", "ba", "bb"])  # the model has no bb
    assert [lm_part(decoder, text) for text in texts] == pytest.approx(flat, abs=1e-5)


def test_a_decoder_is_saved_as_by_pyctcdecode(arpa: Path, tmp_path: Path) -> None:
    decoder = build_ctcdecoder(TRANSFORMERS, arpa, alpha=0.75, unk_score_offset=-5.0)
    decoder.save_to_dir(tmp_path / "saved")
    files = {str(p.relative_to(tmp_path / "saved")) for p in (tmp_path / "saved").rglob("*.*")}
    model = {f"language_model/{name}" for name in ("attrs.json", "unigrams.txt", "model.arpa")}
    assert files == {"alphabet.json", *model}
    assert json.loads((tmp_path / "saved/alphabet.json").read_text()) == {
        "labels": ["", "<s>", "</s>", "⁇", " ", "a", "b"],
        "is_bpe": False,
    }
    assert json.loads((tmp_path / "saved/language_model/attrs.json").read_text()) == {
        "alpha": 0.75,
        "beta": 1.5,
        "unk_score_offset": -5.0,
        "score_boundary": True,
    }
    loaded = BeamSearchDecoderCTC.load_from_dir(str(tmp_path / "saved"), "utf-8")
    for text in (["a", "b"], ["b", "b"]):
        assert lm_part(loaded, text) == pytest.approx(lm_part(decoder, text))


def test_a_decoder_without_a_model_is_saved(tmp_path: Path) -> None:
    build_ctcdecoder(TRANSFORMERS).save_to_dir(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["alphabet.json"]
    assert BeamSearchDecoderCTC.load_from_dir(tmp_path).model_container == {"language_model": None}
    with pytest.raises(PlainspeechError, match="is not a decoder"):
        BeamSearchDecoderCTC.load_from_dir(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("alphabet.json", "{", "not JSON with labels"),
        ("alphabet.json", '{"labels": ["▁", ""], "is_bpe": true}', "pieces of words"),
        ("language_model/attrs.json", "{}", "is not a language model"),
        ("language_model/other.arpa", ARPA, "has 2 files that may be the model"),
    ],
)
def test_what_is_wrong_with_a_saved_decoder_is_told(
    arpa: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    build_ctcdecoder(TRANSFORMERS, arpa).save_to_dir(tmp_path / "saved")
    (tmp_path / "saved" / name).write_text(content)
    with pytest.raises(PlainspeechError, match=message):
        BeamSearchDecoderCTC.load_from_dir(tmp_path / "saved")


def test_a_decoder_comes_from_the_hub(
    arpa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot_download(model_id: str, cache_dir: str | None, **options: Any) -> str:
        assert (model_id, cache_dir, options) == ("me/mine", None, {"allow_patterns": ["*"]})
        return str(tmp_path / "saved")

    build_ctcdecoder(TRANSFORMERS, arpa).save_to_dir(tmp_path / "saved")
    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    loaded = BeamSearchDecoderCTC.load_from_hf_hub("me/mine", allow_patterns=["*"])
    assert loaded.decode(written(["a", "b"], TRANSFORMERS, "<pad>")) == "ab"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(PlainspeechError, match="pip install huggingface_hub"):
        BeamSearchDecoderCTC.load_from_hf_hub("me/mine")


IMPORTS = """
import importlib.util
from plainspeech.pyctcdecode import install_as_pyctcdecode
install_as_pyctcdecode()
install_as_pyctcdecode()
import pyctcdecode
from pyctcdecode import Alphabet, BeamSearchDecoderCTC, LanguageModel, build_ctcdecoder
from pyctcdecode.alphabet import BLANK_TOKEN_PTN, UNK_TOKEN, UNK_TOKEN_PTN
from pyctcdecode.constants import DEFAULT_BEAM_WIDTH, DEFAULT_HOTWORD_WEIGHT
from pyctcdecode.constants import DEFAULT_MIN_TOKEN_LOGP, DEFAULT_PRUNE_LOGP
from pyctcdecode.decoder import BeamSearchDecoderCTC as same
assert same is BeamSearchDecoderCTC and importlib.util.find_spec("pyctcdecode")
assert BLANK_TOKEN_PTN.match("[PAD]") and not BLANK_TOKEN_PTN.match("pad")
assert UNK_TOKEN_PTN.match("<unk>") and UNK_TOKEN == "\\u2047"
assert BeamSearchDecoderCTC._ALPHABET_SERIALIZED_FILENAME == "alphabet.json"
assert BeamSearchDecoderCTC._LANGUAGE_MODEL_SERIALIZED_DIRECTORY == "language_model"
"""
"""What transformers imports and looks at."""


def test_the_face_stands_in_for_pyctcdecode() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(face.__file__).parents[2])!r})\n{IMPORTS}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_does_not_push_another_pyctcdecode_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyctcdecode", SimpleNamespace())
    with pytest.raises(PlainspeechError, match="another pyctcdecode has been imported"):
        install_as_pyctcdecode()


@pytest.mark.parametrize("name", face.__all__)
def test_what_is_public_is_documented(name: str) -> None:
    found = getattr(face, name)
    assert found.__doc__
    if isinstance(found, type):
        methods = {n: m for n, m in vars(found).items() if callable(m) and n[0] != "_"}
        assert [n for n, method in methods.items() if not method.__doc__] == []
