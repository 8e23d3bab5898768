"""Hot words that cannot be used are told before a decoder is loaded, by every verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Plainspeech
from plainspeech.runtime import decoders, recognizer


@pytest.mark.parametrize(
    ("hot_word", "says"),
    [
        ("--", "hot_words: '--' has no character of the alphabet"),
        ("route 66:8", "hot_words: 'route 66' has '6', which the alphabet does not"),
    ],
)
@pytest.mark.parametrize("verb", ["transcribe", "transcribe-many", "listen"])
def test_unusable_ones_do_not_wait_for_the_decoder(
    tmp_path: Path,
    plainspeech: Plainspeech,
    tone_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    hot_word: str,
    says: str,
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the decoder is loaded")

    for module in (decoders, recognizer):  # where it is defined, and where it is used
        monkeypatch.setattr(module, "choose_decoder", load)
    (tmp_path / "a.wav").write_bytes(b"")
    output = ("-o", tmp_path / "out") if verb == "transcribe-many" else ()
    status, said = plainspeech(
        verb, tmp_path / "a.wav", *output, "--model", tone_bundle, f"--hot-word={hot_word}"
    )
    assert status == 1
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
