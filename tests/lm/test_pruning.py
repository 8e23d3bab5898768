from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_models import TEXT, WORDS, after_everything, texts

from plainspeech.lm import entropy_pruning
from plainspeech.lm.corpus import encode
from plainspeech.lm.entropy_pruning import count_known, prune_by_entropy
from plainspeech.lm.kneser_ney import count_ngrams, estimate
from plainspeech.lm.levels import word_ids
from plainspeech.lm.tables import build_tables, score_word

SENTENCES = [line.split() for line in TEXT.splitlines()]


@settings(max_examples=40)
@given(texts, st.floats(1e-4, 0.3), st.sampled_from([(0, 0), (0, 0, 0), (0, 0, 1, 1)]))
def test_what_is_left_is_a_model(
    tmp_path_factory: pytest.TempPathFactory,
    text: list[list[str]],
    threshold: float,
    prune: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("text")
    corpus = encode(text, folder)
    levels = estimate(count_ngrams(corpus, len(prune), folder), 99, prune)
    pruned = prune_by_entropy(levels, corpus, threshold, folder)
    known = {tuple(ngram) for order in word_ids(pruned) for ngram in order.tolist()}
    assert known <= {tuple(ngram) for order in word_ids(levels) for ngram in order.tolist()}
    for ngram in known:
        assert len(ngram) == 1 or {ngram[1:], ngram[:-1]} <= known
    for probabilities in after_everything(build_tables(pruned)):
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_what_goes_is_what_is_missed_least(tmp_path: Path) -> None:
    corpus = encode(SENTENCES, tmp_path)
    levels = estimate(count_ngrams(corpus, 2, tmp_path), 99, (0, 0))
    unigrams, bigrams = levels
    tables = build_tables(levels)
    lower = np.exp(unigrams.probabilities.astype(float))
    lower[1] = 0  # nothing is followed by <s>
    losses = []
    for row, (context, word) in enumerate(zip(bigrams.contexts, bigrams.words, strict=True)):
        state = int(tables.unigram_states[context])
        before = np.array(
            [np.exp(score_word(tables, state, other)[0]) for other in range(len(lower))]
        )
        others = bigrams.words[
            (bigrams.contexts == context) & (np.arange(len(bigrams.words)) != row)
        ]
        after = lower * (1 - before[others].sum()) / (1 - lower[others].sum())
        after[others] = before[others]
        assert word not in others
        before[1] = after[1] = 1  # and counts for nothing
        share = corpus.frequencies[context] / (corpus.words + corpus.sentences)
        losses.append(share * (before * np.log(before / after)).sum())
    for threshold in np.quantile(losses, [0.1, 0.5, 0.9]) * 1.0001:
        pruned = prune_by_entropy(levels, corpus, threshold, tmp_path)
        kept = np.array(losses) >= threshold
        expected = list(zip(bigrams.contexts[kept], bigrams.words[kept], strict=True))
        found = list(zip(pruned[1].contexts, pruned[1].words, strict=True))
        assert found == expected


@settings(max_examples=40)
@given(texts, st.integers(1, 30))
def test_every_known_ngram_of_the_text_is_counted(
    tmp_path_factory: pytest.TempPathFactory, text: list[list[str]], chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("text")
    corpus = encode(text, folder)
    levels = estimate(count_ngrams(corpus, 3, folder), 3 + len(WORDS) // 2, (0, 0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entropy_pruning, "CHUNK", chunk)
        counts = count_known(corpus, levels, folder)
    for length, (ngrams, found) in enumerate(zip(word_ids(levels), counts, strict=True), start=1):
        there: Counter[tuple[str, ...]] = Counter()
        for sentence in text:
            words = ["<s>", *sentence, "</s>"]
            there.update(
                tuple(words[start : start + length]) for start in range(len(words) - length + 1)
            )
        for ngram, count in zip(ngrams.tolist(), found.tolist(), strict=True):
            assert count == there[tuple(corpus.vocabulary[word] for word in ngram)]
