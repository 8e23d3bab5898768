from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_models import texts

from plainspeech.errors import PlainspeechError
from plainspeech.lm import corpus as corpora
from plainspeech.lm import kneser_ney as counting
from plainspeech.lm.corpus import encode
from plainspeech.lm.kneser_ney import count_ngrams
from plainspeech.lm.levels import keys


@settings(max_examples=60)
@given(texts, st.integers(1, 5), st.integers(1, 60))
def test_every_ngram_is_counted_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, text: list[list[str]], order: int, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("counts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "CHUNK", chunk)
        patch.setattr(counting, "CHUNK", chunk)
        corpus = encode(text, folder)
        levels = count_ngrams(corpus, order, folder)
    expected: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(order)]
    for sentence in text:
        words = ["<s>", *sentence, "</s>"]
        for length in range(1, order + 1):
            for start in range(len(words) - length + 1):
                expected[length - 1][tuple(words[start : start + length])] += 1
    spelled = [(word,) for word in corpus.vocabulary]
    found = dict(zip(spelled, levels[0].counts.tolist(), strict=True))
    assert {ngram: count for ngram, count in found.items() if count} == expected[0]
    for level, counter in zip(levels[1:], expected[1:], strict=True):
        assert (np.diff(keys(level.contexts, level.words, len(corpus.vocabulary))) > 0).all()
        spelled = [
            (*spelled[context], corpus.vocabulary[word])
            for context, word in zip(level.contexts.tolist(), level.words.tolist(), strict=True)
        ]
        assert dict(zip(spelled, level.counts.tolist(), strict=True)) == counter


@given(texts)
@settings(max_examples=30)
def test_frequent_words_come_first_and_the_text_can_be_had_again(
    tmp_path_factory: pytest.TempPathFactory, text: list[list[str]]
) -> None:
    corpus = encode(text, tmp_path_factory.mktemp("corpus"))
    assert corpus.vocabulary[:3] == ["<unk>", "<s>", "</s>"]
    assert (np.diff(corpus.frequencies[3:]) <= 0).all()
    assert [line.split() for line in "".join(corpus.text()).splitlines()] == text
    assert corpus.sentences == len(text)
    assert corpus.words == sum(map(len, text))


def test_a_text_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlainspeechError, match="the text has no words"):
        encode([], tmp_path)
