"""The score of a given text, however improbable: what an endless beam would give it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.context import character_ids, model_mode
from plainspeech.decoding.kernels.records import CHARACTER_MODEL, NO_MODEL
from plainspeech.decoding.lexicon import ids_of_written
from plainspeech.decoding.spoken import SpokenWords
from plainspeech.lm.scorer import score_words
from plainspeech.lm.tables import EOS_ID, UNKNOWN_ID

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TextScore:
    """The two parts of the score of a text, see `plainspeech.decoding.settings.BeamSettings`.

    Attributes:
        acoustic: logarithm of the sum of the probabilities of its CTC alignments, which are of
            scaled likelihoods where the search's are, nats; minus infinity where the frames are
            too few.
        lm: what language model, ``beta`` and ``unknown_word_penalty`` add, nats; minus infinity
            where a word is outside the lexicon and the penalty 0, which forbids it.
    """

    acoustic: float
    lm: float

    @property
    def total(self) -> float:
        """By which the search ranks texts."""
        return self.acoustic + self.lm


class TextScorer:
    """Scores given texts as a beam search would that prunes nothing, without hot words.

    Args:
        decoder: the search; its alphabet, language model and settings count.
    """

    def __init__(self, decoder: BeamSearchDecoder) -> None:
        self._decoder = decoder
        self._mode = model_mode(decoder.alphabet, decoder.scorer)

    def score(self, log_probabilities: npt.ArrayLike, text: str) -> TextScore:
        """Return the score of ``text``.

        Args:
            log_probabilities: ``(frames, symbols)``, natural logarithms, the blank last.
            text: in the alphabet, single spaces, none at the ends.

        Raises:
            DataError: ``text`` has a character that the alphabet does not have.
            DecodingError: these are no log-probabilities over the alphabet.
        """
        rows = self._decoder.scaled_likelihoods(log_probabilities)
        # A model over characters scores a space at the end, which makes it another text.
        trailing = self._mode != CHARACTER_MODEL
        spoken = self._decoder.spoken
        if spoken is None:
            acoustic = acoustic_score(rows, text, self._decoder.alphabet, trailing)
        else:
            acoustic = _spoken_score(rows, text, spoken)
        return TextScore(acoustic, self.lm_score(text))

    def lm_score(self, text: str) -> float:
        """Return `TextScore.lm` of ``text``."""
        scorer, settings = self._decoder.scorer, self._decoder.settings
        if scorer is None or self._mode == NO_MODEL:
            return 0.0
        if self._mode == CHARACTER_MODEL:
            names = character_ids(self._decoder.alphabet, scorer)
            ids, unknown = names[self._decoder.alphabet.encode(text)].tolist(), 0
        else:
            ids = [self._ids.get(word, UNKNOWN_ID) for word in text.split()]
            unknown = ids.count(UNKNOWN_ID)
        if unknown and not settings.unknown_word_penalty:
            return -np.inf
        units = np.array([*ids, EOS_ID], np.int32)
        logs = score_words(scorer.tables, int(scorer.tables.bos_state), units)
        model = settings.alpha * float(logs.sum(dtype=np.float64))
        model += self._decoder.rescored(text)
        return model + settings.beta * len(ids) - settings.unknown_word_penalty * unknown

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of ``text`` outside the lexicon; none without a model over words."""
        if self._mode in (NO_MODEL, CHARACTER_MODEL):
            return []
        spoken = self._decoder.spoken
        return [
            word
            for word in text.split()
            if word not in self._ids or (spoken is not None and spoken.lacks(word))
        ]

    @cached_property
    def _ids(self) -> dict[str, int]:
        """The id of each word in the language model, as the alphabet writes it."""
        scorer = self._decoder.scorer
        assert scorer is not None
        return ids_of_written(scorer.vocabulary, self._decoder.alphabet)


def _spoken_score(rows: npt.NDArray[np.float32], text: str, spoken: SpokenWords) -> float:
    """Return the score of the likeliest way to say ``text``, as far as one word at a time finds it.

    Minus infinity where a word has no pronunciation.
    """
    if spoken.lacks(text):
        return -np.inf
    ways = [spoken.pronunciations.of(word) for word in text.split()]
    said = [way[0] for way in ways]
    best = acoustic_score(rows, " ".join(said), spoken.alphabet)
    for place, others in enumerate(ways):
        for other in others[1:]:
            changed = [*said[:place], other, *said[place + 1 :]]
            score = acoustic_score(rows, " ".join(changed), spoken.alphabet)
            if score > best:
                best, said = score, changed
    return best


def acoustic_score(
    rows: npt.NDArray[np.float32], text: str, alphabet: Alphabet, trailing: bool = True
) -> float:
    """Return the logarithm of the sum of the probabilities of the alignments of ``text``.

    The forward pass of CTC (Graves et al., ICML 2006, section 4.1), where several spaces count as
    one, and those before the first word (and after the last) as none.

    Args:
        rows: ``(frames, symbols)`` log-probabilities.
        text: single spaces, none at the ends.
        alphabet: of the rows.
        trailing: whether spaces may follow the last word.
    """
    ids = alphabet.encode(text)
    space = alphabet.encode(" ")[0] if " " in alphabet.symbols else None
    written = [*ids, space] if ids and trailing and space is not None else ids
    states = _States(np.array(written, np.intp), alphabet.blank_id, space)
    for row in rows.astype(np.float64):
        states.advance(row)
    return states.score(len(ids))


class _States:
    """Forward scores: of so many symbols, the last frame in the blank or in the last symbol.

    Args:
        symbols: of the text.
        blank: its id.
        space: its id; None without one.
    """

    def __init__(self, symbols: npt.NDArray[np.intp], blank: int, space: int | None) -> None:
        self._symbols, self._blank, self._space = symbols, blank, space
        self._rest = np.full(len(symbols) + 1, -np.inf)
        self._write = np.full(len(symbols) + 1, -np.inf)
        self._rest[0] = 0.0
        self._is_space = symbols == (-1 if space is None else space)
        self._repeats = np.zeros(len(symbols), bool)
        self._repeats[1:] = symbols[1:] == symbols[:-1]

    def advance(self, row: Doubles) -> None:
        """Let one frame pass."""
        both = np.logaddexp(self._rest, self._write)
        arriving = np.where(self._repeats, self._rest[:-1], both[:-1])
        # A space after a blank is no other space.
        staying = np.where(self._is_space, both[1:], self._write[1:])
        self._write[1:] = np.logaddexp(arriving, staying) + row[self._symbols]
        self._rest = both + row[self._blank]
        if self._space is not None:
            self._write[0] = both[0] + row[self._space]

    def score(self, length: int) -> float:
        """Return the score of the first ``length`` symbols, with or without what follows."""
        ends = np.concatenate([self._rest[length:], self._write[length:]])
        return float(np.logaddexp.reduce(ends))
