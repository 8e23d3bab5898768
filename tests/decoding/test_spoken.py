"""The search over phones, against the enumeration of all that can be said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import random_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_lm import Ngram, ToyLm, random_lm

from plainspeech.alphabet import ENGLISH
from plainspeech.arrays import Array
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.search_trace import trace_search
from plainspeech.decoding.spoken import SpokenWords
from plainspeech.decoding.text_scores import TextScorer, acoustic_score
from plainspeech.errors import ConfigurationError, DecodingError, LanguageModelError
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, score_word
from plainspeech.pronunciations import parse_pronunciations, phone_character

WORDS = ("too", "two", "a", "at", "toot")
A, T = 1, 2
SILENT = -25.0  # the log-probability of what frames do not say
LEXICON = parse_pronunciations(
    b"too T A\ntwo T A\na A\na(2) A A\nat A T\ntoot T A T\n", Path("lexicon")
)
WIDE: dict[str, Any] = {
    "beam_width": 4000,
    "beam_threshold": np.inf,
    "token_floor": -np.inf,
    "merge": "prefix",
}

seeds = st.integers(0, 2**32 - 1)
frame_counts = st.integers(1, 5)


def over_phones(seed: int, **options: Any) -> BeamSearchDecoder:
    return BeamSearchDecoder(
        ENGLISH, random_lm(seed, WORDS), pronunciations=LEXICON, **(WIDE | options)
    )


def lm_score(words: tuple[str, ...], lm: ToyLm) -> float:
    """Return the logarithm of the probability of a sentence."""
    state, total = int(lm.tables.bos_state), 0.0
    for index in [*(lm.vocabulary.index(word) for word in words), EOS_ID]:
        found, state = score_word(lm.tables, int(state), index)
        total += float(found)
    return total


def said_in(rows: Array, spoken: SpokenWords, most: int) -> dict[str, float]:
    """Return the acoustic score of all that can be said in so many words, by phones."""
    sounds = sorted({sound for known in LEXICON.words.values() for sound in known})
    texts = (
        " ".join(said)
        for count in range(most + 1)
        for said in itertools.product(sounds, repeat=count)
    )
    return {text: acoustic_score(rows, text, spoken.alphabet) for text in texts}


@settings(max_examples=30)
@given(seeds, st.lists(st.sampled_from(WORDS), max_size=4))
def test_words_that_sound_alike_are_told_apart_by_the_sentence(seed: int, words: list[str]) -> None:
    lm = random_lm(seed, WORDS)
    spoken = SpokenWords.of(LEXICON, lm)
    text = " ".join(spoken.spoken(word)[0] for word in words)

    (found,) = spoken.written([text], {}, int(lm.tables.bos_state))

    alike = [("too", "two") if word in ("too", "two") else (word,) for word in words]
    best = max(lm_score(each, lm) for each in itertools.product(*alike))
    assert lm_score(tuple(found), lm) == pytest.approx(best, abs=1e-4)
    assert [LEXICON.words[word][0] for word in found] == [LEXICON.words[word][0] for word in words]


@settings(max_examples=50)
@given(seeds, st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_is_settled_is_written_whatever_follows(seed: int, words: list[str]) -> None:
    lm = random_lm(seed, WORDS)
    spoken, start = SpokenWords.of(LEXICON, lm), int(lm.tables.bos_state)
    sounds = [spoken.spoken(word)[0] for word in words]
    (whole,) = spoken.written([" ".join(sounds)], {}, start)
    for count in range(len(words) + 1):
        so_far = " ".join(sounds[:count])
        settled = spoken.settled(so_far, {}, start)
        assert settled == whole[: len(settled)]
        assert settled == spoken.written([so_far], {}, start)[0][: len(settled)]
        alone = next((n for n, word in enumerate(words[:count]) if word in ("too", "two")), count)
        assert len(settled) >= alone  # what sounds like no other word is settled at once


@settings(max_examples=50)
@given(seeds)
def test_what_is_stable_stays(seed: int) -> None:
    stream = over_phones(seed).stream()
    stable: list[str] = []
    for row in random_rows(seed, 10, LEXICON.size):
        stream.feed(row[None])
        partial = stream.partial()
        assert partial.text.split()[: len(stable)] == stable
        assert partial.stable.split()[: len(stable)] == stable
        stable = partial.stable.split()
        assert partial.text.split()[: len(stable)] == stable
    assert stream.finish().text.split()[: len(stable)] == stable


@settings(max_examples=25, deadline=None)
@given(seeds, frame_counts)
def test_the_best_of_all_that_can_be_said_is_found(seed: int, frames: int) -> None:
    words = tuple(word for word in WORDS if word != "two")  # none sounds like another
    lm = random_lm(seed, words)
    decoder = BeamSearchDecoder(ENGLISH, lm, pronunciations=LEXICON, **WIDE)
    assert decoder.spoken is not None
    rows = random_rows(seed, frames, LEXICON.size)

    best = decoder.decode_n_best(rows, 1)[0]

    totals = []
    for text, acoustic in said_in(rows, decoder.spoken, most=3).items():
        (chosen,) = decoder.spoken.written([text], {}, int(lm.tables.bos_state))
        written = tuple(chosen)
        language = decoder.settings.alpha * lm_score(written, lm)
        totals.append(acoustic + language + decoder.settings.beta * len(written))
    assert best.score == pytest.approx(max(totals), abs=1e-3)
    scored = TextScorer(decoder).score(rows, best.transcript.text)
    assert scored.total == pytest.approx(best.score, abs=1e-3)


def frames_of(*phones: int) -> Array:
    """Return log-probabilities that say ``phones``, with a blank after each.

    So sure that no language model of these tests outweighs one phone of them.
    """
    blank = LEXICON.size - 1
    rows = np.full((2 * len(phones), LEXICON.size), SILENT, np.float32)
    for place, phone in enumerate(phones):
        rows[2 * place, phone] = rows[2 * place + 1, blank] = 0.0
    return rows - np.logaddexp.reduce(rows, axis=1, keepdims=True)


def test_what_sounds_like_no_word_is_not_written() -> None:
    decoder = over_phones(1, unknown_word_penalty=5.0)
    found = decoder.decode(frames_of(T, T, T))
    assert set(found.text.split()) <= set(WORDS)


def test_words_have_times_and_phones_names() -> None:
    best = over_phones(1).decode_n_best(frames_of(T, A, T, 0, A, T), 1)[0]

    assert best.transcript.text == "toot at"
    first, second = best.transcript.words
    assert first.end <= second.start
    assert [each.text for each in best.characters] == ["T", "A", "T", " ", "A", "T"]


def test_a_stream_gives_what_the_whole_does_and_whole_words_in_between() -> None:
    rows, decoder = frames_of(T, A, T, 0, A, T), over_phones(1)
    stream = decoder.stream()
    partial = []
    for row in rows:
        stream.feed(row[None])
        partial.append(stream.partial())
    assert stream.finish() == decoder.decode(rows)
    assert "toot" in partial[7].text.split()
    assert partial[-1].stable in ("", "toot")
    assert trace_search(decoder, rows).text == "toot at"


@pytest.mark.parametrize("wanted", ["too", "two"])
def test_a_hot_word_is_written_rather_than_what_sounds_like_it(wanted: str) -> None:
    assert over_phones(3).decode(frames_of(T, A), {wanted: 8.0}).text == wanted


def test_a_hot_word_outside_the_vocabulary_is_found_by_its_pronunciation() -> None:
    sound = "".join(map(phone_character, (T, A, T, A)))
    lexicon = replace(LEXICON, words={**LEXICON.words, "tata": [sound]})
    decoder = BeamSearchDecoder(ENGLISH, random_lm(1, WORDS), pronunciations=lexicon)
    rows = frames_of(T, A, T, A)
    assert decoder.decode(rows).text != "tata"
    assert decoder.decode(rows, {"tata": 10.0}).text == "tata"
    assert decoder.decode(rows, {"at tata": 10.0}).text != "tata"


class Spelled:
    """Says words as they are written, in the letters that are phones."""

    name = "spelled"

    def convert(self, words: Sequence[str], wide: bool = False) -> list[Sequence[str]]:
        """Say ``words`` forwards; if ``wide``, backwards, too."""
        phones = {"t": phone_character(T), "a": phone_character(A)}
        return [
            ["".join(map(phones.__getitem__, way)) for way in (word, word[::-1])[: 1 + wide]]
            if phones.keys() >= set(word)
            else []
            for word in words
        ]


SPELLED = replace(LEXICON, converter=Spelled())


def test_a_hot_word_that_the_lexicon_lacks_is_found_as_it_is_converted() -> None:
    decoder = BeamSearchDecoder(ENGLISH, random_lm(1, WORDS), pronunciations=SPELLED)
    rows = frames_of(T, A, T, A)
    assert decoder.decode(rows).text != "tata"
    assert decoder.decode(rows, {"tata": 10.0}).text == "tata"
    phrase = frames_of(T, A, T, A, 0, A, T)
    assert decoder.decode(phrase, {"tata at": 20.0}).text == "tata at"
    with pytest.raises(DecodingError, match="'xylox' has no pronunciation"):
        decoder.decode(rows, {"xylox": 5.0})


def test_a_word_of_the_language_model_that_the_lexicon_lacks_is_found() -> None:
    lm = random_lm(1, (*WORDS, "tata", "xylox"))
    decoder = BeamSearchDecoder(ENGLISH, lm, pronunciations=SPELLED)
    assert decoder.decode(frames_of(T, A, T, A)).text == "tata"
    assert decoder.spoken is not None
    assert decoder.spoken.coverage == pytest.approx(6 / 7)
    scorer = TextScorer(decoder)
    assert scorer.unknown_words("tata xylox") == ["xylox"]
    assert scorer.score(frames_of(T, A, T, A), "tata").acoustic > -1


@pytest.mark.parametrize("words", [WORDS, (*WORDS, "tta")])
def test_an_expected_word_may_be_said_in_more_ways(words: tuple[str, ...]) -> None:
    decoder = BeamSearchDecoder(ENGLISH, random_lm(1, words), pronunciations=SPELLED)
    assert decoder.decode(frames_of(A, T, T)).text != "tta"
    assert decoder.decode(frames_of(A, T, T), {"tta": 12.0}).text == "tta"


class Counted(Spelled):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, bool]] = set()

    def convert(self, words: Sequence[str], wide: bool = False) -> list[Sequence[str]]:
        self.asked |= {(word, wide) for word in words}
        return super().convert(words, wide)


def test_hot_words_are_converted_beforehand_and_no_more_than_that() -> None:
    """Each word that was said had cost a look at each hot word, 10,000 of them 13 decodings."""
    converter = Counted()
    lexicon = replace(LEXICON, converter=converter)
    decoder = BeamSearchDecoder(ENGLISH, random_lm(1, WORDS), pronunciations=lexicon)
    stream = decoder.stream({"tta": 12.0, "aat tta": 1.0})
    assert converter.asked == {("tta", True), ("aat", True)}
    converter.asked.clear()
    stream.feed(frames_of(A, T, T))
    assert stream.finish().text == "tta"
    assert converter.asked == set()


def test_the_ways_to_say_a_phrase_are_of_all_its_words() -> None:
    spoken = SpokenWords.of(SPELLED, random_lm(1, WORDS))
    for count in (1, 2, 3, 6):
        ways = spoken.spoken(" ".join(["aat"] * count))
        assert len(ways) == min(2**count, 16)
        assert ways[0] == " ".join([*SPELLED.of("aat")] * count)


def test_hot_words_without_a_pronunciation_are_searched_by_letters() -> None:
    lm = random_lm(1, WORDS)
    letters = slice(ENGLISH.size)
    decoder = BeamSearchDecoder(
        ENGLISH,
        lm,
        pronunciations=LEXICON,
        columns=slice(ENGLISH.size, ENGLISH.size + LEXICON.size),
        fallback=lambda: BeamSearchDecoder(ENGLISH, lm, columns=letters),
    )
    rows = np.full((5, ENGLISH.size), np.log(1e-3), np.float32)
    rows[np.arange(5), ENGLISH.encode("xylox")] = 0.0
    rows = np.hstack([rows, frames_of(A, A, A)[:5]])
    assert decoder.decode(rows).text in ("a", "a a")
    assert decoder.decode(rows, {"xylox": 10.0}).text == "xylox"
    assert decoder.decode_batch([rows, rows], hot_words={"xylox": 10.0})[1].text == "xylox"
    stream = decoder.stream({"xylox": 10.0})
    stream.feed(rows)
    assert stream.finish().text == "xylox"


def test_without_letters_such_hot_words_are_an_error() -> None:
    with pytest.raises(DecodingError, match="'xylox' has no pronunciation"):
        over_phones(1).decode(frames_of(A), {"xylox": 5.0})


def test_a_search_over_phones_needs_words_that_have_pronunciations() -> None:
    with pytest.raises(ConfigurationError, match="needs a scorer"):
        BeamSearchDecoder(ENGLISH, pronunciations=LEXICON)
    with pytest.raises(LanguageModelError, match="no word of the language model"):
        BeamSearchDecoder(ENGLISH, random_lm(1, ("other", "words")), pronunciations=LEXICON)


def test_a_word_without_a_pronunciation_is_unknown_to_the_search(
    caplog: pytest.LogCaptureFixture,
) -> None:
    decoder = BeamSearchDecoder(ENGLISH, random_lm(1, (*WORDS, "other")), pronunciations=LEXICON)
    scorer = TextScorer(decoder)
    assert scorer.unknown_words("too other thing") == ["other", "thing"]
    assert scorer.score(frames_of(T, A), "other").acoustic == -np.inf
    assert "cannot be found: 1; the first is 'other'" in caplog.text


@settings(max_examples=20)
@given(seeds, st.booleans())
def test_within_a_sentence_its_words_count(seed: int, ends: bool) -> None:
    lm = random_lm(seed, WORDS)
    decoder = BeamSearchDecoder(ENGLISH, lm, pronunciations=LEXICON, **WIDE)
    _, state = score_word(lm.tables, int(lm.tables.bos_state), lm.vocabulary.index("at"))

    found = decoder.within_sentence(int(state), ends).decode(frames_of(T, A)).text

    scores = {}
    for word in ("too", "two"):
        first, after = score_word(lm.tables, int(state), lm.vocabulary.index(word))
        scores[word] = first + (score_word(lm.tables, int(after), EOS_ID)[0] if ends else 0.0)
    assert found == max(scores, key=scores.__getitem__)


def test_more_sentences_than_there_is_room_for_leave_the_likeliest() -> None:
    alike = tuple(f"w{place}" for place in range(400))
    lexicon = parse_pronunciations("\n".join(f"{word} T A" for word in alike).encode(), Path("x"))
    draw = np.random.default_rng(0)
    vocabulary = (*SPECIAL_WORDS, *alike)
    # Each word begins a bigram, so that the model has a state after each.
    ngrams: list[Ngram] = [(word,) for word in vocabulary]
    ngrams += [(word, str(draw.choice(alike))) for word in alike]
    lm = ToyLm(
        vocabulary,
        {ngram: float(-draw.exponential(2.0)) for ngram in ngrams},
        {ngram: float(-draw.exponential(0.5)) for ngram in ngrams},
    )
    spoken = SpokenWords.of(lexicon, lm)
    said = spoken.spoken("w0")[0]
    (found,) = spoken.written([" ".join([said] * 4)], {}, int(lm.tables.bos_state))
    assert len(found) == 4
    usual = lm_score(tuple(found), lm)
    assert all(lm_score(tuple(draw.choice(alike, 4)), lm) <= usual for _ in range(200))
