"""The commands of docs/new-language.md, in order, on tones for letters."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import soundfile
import tiny
from tiny import ignore, speak, trainer_of, write_corpus, write_recipe

from conftest import Plainspeech
from plainspeech.alphabet import LANGUAGES
from plainspeech.model.presets import PRESETS
from plainspeech.runtime.bundle import Bundle

# Imported before another model is put in the place of the one that ships, which it keeps by name.
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST

pytestmark = pytest.mark.usefixtures("tiny_preset")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "new-language.md"
TEXTS = ("Где баба?", "Еда.", "Вода — газ", "Гад!", "Беда", "Ага", "Два бега", "Вода")


def test_every_language_is_in_the_guide() -> None:
    assert ", ".join(f"`{code}`" for code in LANGUAGES) in GUIDE.read_text(encoding="utf-8")


def test_the_commands_of_the_guide_run(
    plainspeech: Plainspeech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = tmp_path / "english"
    english.mkdir()
    write_corpus(english)
    monkeypatch.setitem(PRESETS, "small", tiny.PRESET)
    recipe = write_recipe(english, epochs="1", preset='"small"')
    trainer_of(recipe, english).fit(ignore, ignore)
    export_bundle(english / BEST, english / "bundle")
    monkeypatch.setattr("plainspeech.runtime.bundle.bundled_model_path", lambda: english / "bundle")
    monkeypatch.chdir(tmp_path)
    Path("recordings").mkdir()
    for index, text in enumerate(TEXTS):
        soundfile.write(f"recordings/{index}.wav", speak(text), 16_000)
        Path(f"recordings/{index}.txt").write_text(text, encoding="utf-8")
    soundfile.write("new.wav", speak("еда"), 16_000)
    Path("text.txt").write_text("где вода\nтам беда\n", encoding="utf-8")
    guide = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert len(commands) == 8
    said = ""
    for name, *arguments in commands:
        assert name == "plainspeech"
        few = ["--trials", "1", "--beam-width", "4"] if arguments[0] == "tune" else []
        status, told = plainspeech(*arguments, *few)
        assert status == 0, (arguments, told)
        said += told
    assert "writes another alphabet: the outputs of ' ' and the blank are kept" in said
    assert "letters that never occur in corpus/train.jsonl" in said
    bundle = Bundle.load("russian")
    assert bundle.alphabet.text == " " + LANGUAGES["ru"]
    assert bundle.card["language"] == "ru"
    assert bundle.scorer_files
    assert set(load_model("russian").transcribe("new.wav").text) <= set(bundle.alphabet.symbols)
