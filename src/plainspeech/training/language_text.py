"""The text that a recurrent language model learns from, as rows of its embeddings."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.errors import DataError
from plainspeech.lm.corpus import chunks, encode, read_sentences
from plainspeech.lm.neural import END, OTHER
from plainspeech.lm.tables import BOS_ID, EOS_ID, SPECIAL_WORDS, UNKNOWN_ID, Ints
from plainspeech.lm.vocabulary import digest_of

_SENTENCES_AT_ONCE = 1 << 16  # that are put into another order together


@dataclass(frozen=True)
class LanguageText:
    """Sentences.

    Attributes:
        words: ``(rows,)`` the scorer's ids of the words of a model of it; those of `END` and
            `OTHER` first, then from the most frequent to the least.
        rows: ``(tokens,)`` the words, and `END` after each sentence.
        vocabulary: SHA-256 of the scorer's words.
    """

    words: Ints
    rows: Ints
    vocabulary: str

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """``(rows,)``, how often each occurs; 1 for what does not, so that it has a logarithm."""
        return np.maximum(np.bincount(self.rows, minlength=len(self.words)), 1)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sentences, as hexadecimal digits."""
        return hashlib.sha256(self.rows.tobytes()).hexdigest()

    def shuffled(self, seed: int, epoch: int) -> Ints:
        """Return `rows` with the sentences in an order that ``seed`` and ``epoch`` determine."""
        ends = np.flatnonzero(self.rows == END) + 1
        starts = np.concatenate([[0], ends[:-1]])
        order = np.random.default_rng([seed, 0, epoch]).permutation(len(ends))
        mixed, place = np.empty_like(self.rows), 0
        for at in range(0, len(order), _SENTENCES_AT_ONCE):
            some = order[at : at + _SENTENCES_AT_ONCE]
            lengths = ends[some] - starts[some]
            # Of each word: where its sentence starts, less where it does in the new order.
            shifts = np.repeat(starts[some] - (np.cumsum(lengths) - lengths), lengths)
            mixed[place : place + len(shifts)] = self.rows[np.arange(len(shifts)) + shifts]
            place += len(shifts)
        return mixed


def number_text(
    texts: Sequence[Path], vocabulary: Sequence[str], alphabet: Alphabet, words: int
) -> LanguageText:
    """Return ``texts`` as rows.

    Args:
        texts: as `read_sentences` takes them.
        vocabulary: of the scorer, the special words first.
        alphabet: to which the text is folded.
        words: so many of its most frequent words that the scorer has get rows of their own.

    Raises:
        DataError: a text cannot be read, or none of its words is the scorer's.
    """
    none_known = (
        f"{', '.join(map(str, texts))}: has none of the scorer's words; give text in the scorer's "
        f"language"
    )
    ids = {word: index for index, word in enumerate(vocabulary) if index >= len(SPECIAL_WORDS)}
    sentences = read_sentences(texts, alphabet)
    first = next(sentences, None)
    if first is None:
        raise DataError(none_known)
    # The words of the text are numbered on disk, for it may have many.
    with tempfile.TemporaryDirectory(prefix="plainspeech-") as folder:
        corpus = encode(chain([first], sentences), Path(folder))
        known = [(place, ids[word]) for place, word in enumerate(corpus.vocabulary) if word in ids][
            :words
        ]
        if not known:
            raise DataError(none_known)
        places, chosen = np.array(known, np.int32).T
        rows_of = np.full(len(corpus.vocabulary), OTHER, np.int32)
        rows_of[places] = np.arange(len(places)) + 2
        rows_of[EOS_ID] = END
        parts = [rows_of[chunk[chunk != BOS_ID]] for chunk in chunks(corpus.tokens)]
        del corpus  # its file is mapped into memory
    special = np.array([EOS_ID, UNKNOWN_ID], np.int32)
    return LanguageText(
        np.concatenate([special, chosen]), np.concatenate(parts), digest_of(vocabulary)
    )


def number_sentences(
    path: Path, text: LanguageText, vocabulary: Sequence[str], alphabet: Alphabet
) -> list[list[int]]:
    """Return the sentences of another text, each as rows without the `END`.

    Args:
        path: as `read_sentences` takes it.
        text: whose words have rows.
        vocabulary: of the scorer.
        alphabet: to which the text is folded.

    Raises:
        DataError: the text cannot be read, or has no words.
    """
    rows = {vocabulary[id_]: row for row, id_ in enumerate(text.words.tolist()) if row > OTHER}
    sentences = [
        [rows.get(word, OTHER) for word in words] for words in read_sentences([path], alphabet)
    ]
    if not sentences:
        raise DataError(f"{path}: has no words; name a text of sentences, one a line")
    return sentences
