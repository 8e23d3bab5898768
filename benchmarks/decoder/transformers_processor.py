"""The calls of transformers' Wav2Vec2ProcessorWithLM, with this package in pyctcdecode's place.

Runs in any environment with transformers (no torch, no hub), numpy, typer, and either
`plainspeech` or, with ``--peer``, the real pyctcdecode and KenLM:

    python -m benchmarks.decoder.transformers_processor --data DIR --scorer LM.arpa

It builds a processor from a tokenizer whose ``vocab.json`` it writes, decodes utterances singly and
as a batch, boosts a word, saves the processor and loads it again, and fails where these disagree.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.decoder.systems import SYMBOLS, read_posteriors

VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "|", *SYMBOLS[1:]]
"""As the tokenizers of English wav2vec 2.0 models have it."""

UTTERANCES = 8


def main(
    data: Annotated[Path, typer.Option(help="Folder of log-probabilities and references.")],
    scorer: Annotated[Path, typer.Option(help="Language model in the ARPA format.")],
    hot_word: Annotated[str, typer.Option(help="To boost.")] = "plainspeech",
    peer: Annotated[bool, typer.Option(help="Use the real pyctcdecode.")] = False,
) -> None:
    """Decode by a processor."""
    if not peer:
        from plainspeech.pyctcdecode import install_as_pyctcdecode

        install_as_pyctcdecode()
    utterances = read_posteriors(data / "dev_posteriors.npz")[:UTTERANCES]
    logits = [_as_of_wav2vec2(rows) for rows in utterances]
    with TemporaryDirectory() as folder:
        processor = _processor(Path(folder), scorer)
        texts = _check(processor, logits, hot_word)
        processor.save_pretrained(f"{folder}/processor")
        loaded = type(processor).from_pretrained(f"{folder}/processor")
        assert [loaded.decode(rows).text for rows in logits] == texts
    print(*texts, sep="\n")


def _processor(folder: Path, scorer: Path) -> Any:
    """Return a processor; nothing is downloaded."""
    from pyctcdecode import build_ctcdecoder  # type: ignore[import-not-found]
    from transformers import (  # type: ignore[import-not-found]
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ProcessorWithLM,
    )

    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    labels = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    decoder = build_ctcdecoder(labels, str(scorer))
    return Wav2Vec2ProcessorWithLM(Wav2Vec2FeatureExtractor(), tokenizer, decoder)


def _check(processor: Any, logits: list[Any], hot_word: str) -> list[str]:
    """Return the texts; raise AssertionError where one call and another disagree."""
    found = [processor.decode(rows, output_word_offsets=True) for rows in logits]
    for one, rows in zip(found, logits, strict=True):
        assert " ".join(word["word"] for word in one.word_offsets) == one.text
        assert all(word["end_offset"] <= len(rows) for word in one.word_offsets)
    texts = [one.text for one in found]
    padded = np.full((len(logits), max(map(len, logits)), len(VOCABULARY)), -100.0, np.float32)
    for row, one in zip(padded, logits, strict=True):
        row[: len(one)] = one
    batch = processor.batch_decode(padded, num_processes=2)
    assert batch.text == texts
    assert np.allclose(batch.lm_score, [one.lm_score for one in found])
    boosted = processor.decode(_spelled(hot_word), hotwords=[hot_word], hotword_weight=30.0)
    assert boosted.text == hot_word, boosted.text
    assert len(processor.decode(logits[0], n_best=3).text) <= 3
    return texts


def _as_of_wav2vec2(rows: Any) -> Any:
    """Return ``rows`` over `SYMBOLS` and the blank as logits over `VOCABULARY`."""
    wide = np.full((len(rows), len(VOCABULARY)), -30.0, np.float32)
    wide[:, 0] = rows[:, -1]
    wide[:, VOCABULARY.index("|") :] = rows[:, :-1]
    return wide


def _spelled(word: str) -> Any:
    """Return logits that favour ``word``, but leave its letters in doubt."""
    rows = np.full((2 * len(word), len(VOCABULARY)), -2.0, np.float32)
    rows[1::2, 0] = 3.0
    rows[np.arange(0, len(rows), 2), [VOCABULARY.index(letter) for letter in word]] = 3.0
    return rows


if __name__ == "__main__":
    typer.run(main)
