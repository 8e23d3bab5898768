"""What is found and how it is scored: by pyctcdecode's definition, and by its own numbers."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from multiprocessing.pool import Pool
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import kenlm
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.errors import PlainspeechError
from plainspeech.pyctcdecode import Alphabet, BeamSearchDecoderCTC, build_ctcdecoder
from plainspeech.pyctcdecode.adapter import Pruning, SearchAdapter

ARPA = """
\\data\\
ngram 1=7
ngram 2=5

\\1-grams:
-2.0\t<unk>\t0
0\t<s>\t-0.3
-1.1\t</s>\t0
-0.9\tbug\t-0.2
-1.3\tbugs\t-0.1
-0.7\ta\t-0.4
-1.7\ttunes\t-0.25

\\2-grams:
-0.5\t<s> a
-0.4\ta bug
-0.6\tbug </s>
-0.3\tbugs a
-0.35\ttunes </s>

\\end\\
"""
SMALL_ARPA = """
\\data\\
ngram 1=6
ngram 2=1

\\1-grams:
-2.0\t<unk>\t0
0\t<s>\t-0.3
-1.1\t</s>\t0
-0.9\tab\t-0.2
-1.3\tba\t-0.1
-0.7\ta\t-0.4

\\2-grams:
-0.1\t<s> ab

\\end\\
"""
LABELS = [" ", *"abugstnez", "<s>", "<unk>", ""]
SMALL = ["", "a", "|", "b"]
Rows = npt.NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)
weights = st.floats(0.05, 2.0)


@pytest.fixture(scope="module")
def arpa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lm") / "bugs.arpa"
    path.write_text(ARPA)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lm") / "small.arpa"
    path.write_text(SMALL_ARPA)
    return path


@pytest.fixture
def decoder(arpa: Path) -> BeamSearchDecoderCTC:
    return build_ctcdecoder(LABELS, str(arpa))


def spelled(text: list[str] | str, seed: int = 0) -> Rows:
    """Return log-probabilities of ``text``, a label in every second frame."""
    rows = np.random.default_rng(seed).normal(size=(2 * len(text) + 1, len(LABELS))) * 0.3
    for place, label in enumerate(text):
        rows[2 * place + 1, LABELS.index(label)] += 8.0
    rows[::2, -1] += 8.0
    return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)))


def lm_part(beam: tuple[Any, ...]) -> float:
    return float(beam[-1] - beam[-2])


PYCTCDECODE = [
    ("a bug", {}, 1.273061145943274),
    ("a zug", {}, -13.118095788203087),
    ("bugs a", {}, -0.9143945620185416),
    (["a", "<s>", "b"], {}, -13.927320095611154),
    (["a", "<unk>", "b"], {}, -13.927320095611154),
    ("a bug", {"hotwords": ["a bug"], "hotword_weight": 3.0}, 7.273061145943274),
    ("a zug", {"hotwords": ["zug"], "hotword_weight": -3.0}, -16.118095788203085),
    ("a bug", {"hotwords": ["bug"], "hotword_weight": 0.0}, 1.273061145943274),
]
"""What language model and hot words add to a text, as pyctcdecode 0.5.0 with `ARPA` has it."""


@pytest.mark.parametrize(("text", "options", "expected"), PYCTCDECODE)
def test_scores_are_those_of_pyctcdecode(
    decoder: BeamSearchDecoderCTC, text: Any, options: dict[str, Any], expected: float
) -> None:
    beam = decoder.decode_beams(spelled(text), **options)[0]
    assert beam.text == "".join(text).replace("<unk>", "⁇")
    assert lm_part(beam) == pytest.approx(expected, abs=1e-5)


def test_a_beam_is_that_of_pyctcdecode(decoder: BeamSearchDecoderCTC) -> None:
    beam = decoder.decode_beams(spelled("a bug"))[0]
    text, _, frames, logit_score, lm_score = beam
    assert (text, frames) == ("a bug", [("a", (1, 2)), ("bug", (5, 10))])
    acoustic = spelled("a bug")
    best = sum(float(row.max()) for row in acoustic)
    assert logit_score == pytest.approx(best, abs=1e-5)
    assert lm_score == beam.lm_score
    assert decoder.decode(acoustic) == text


@pytest.mark.parametrize(
    ("changes", "text", "expected"),
    [
        ({"lm_score_boundary": False}, "a bug", 1.7335782057155131),
        ({"lm_score_boundary": False, "unk_score_offset": 0.0}, "a zug", -0.5690069902121077),
    ],
)
def test_weights_may_be_reset(
    decoder: BeamSearchDecoderCTC, changes: dict[str, Any], text: str, expected: float
) -> None:
    decoder.decode(spelled(text))
    decoder.reset_params(**changes)
    assert lm_part(decoder.decode_beams(spelled(text))[0]) == pytest.approx(expected, abs=1e-5)
    decoder.reset_params(lm_score_boundary=True, unk_score_offset=-10.0)
    other = dict(zip(["a bug", "a zug"], [1.273061145943274, -13.118095788203087], strict=True))
    assert lm_part(decoder.decode_beams(spelled(text))[0]) == pytest.approx(other[text], abs=1e-5)


def test_weights_may_be_set_on_the_language_model(decoder: BeamSearchDecoderCTC) -> None:
    """As transformers does it."""
    model = decoder.model_container[decoder._model_key]
    assert model is not None
    before = lm_part(decoder.decode_beams(spelled("a bug"))[0])
    model.beta = 2.5
    assert lm_part(decoder.decode_beams(spelled("a bug"))[0]) == pytest.approx(before + 2)


def test_a_text_goes_on_after_another(decoder: BeamSearchDecoderCTC) -> None:
    state = decoder.decode_beams(spelled("a bug"))[0].last_lm_state
    beam = decoder.decode_beams(spelled("bug"), lm_start_state=state)[0]
    assert lm_part(beam) == pytest.approx(-0.4571973839428456, abs=1e-5)  # of pyctcdecode
    assert lm_part(decoder.decode_beams(spelled("bug"))[0]) != pytest.approx(lm_part(beam), abs=0.1)
    assert decoder.decode(spelled("bug"), lm_start_state=state) == "bug"


@pytest.mark.parametrize(
    ("start", "follows"), [((), ("a",)), (("<s>",), ("a",)), (("zug",), ("bug", "a"))]
)
def test_states_are_those_of_kenlm(
    decoder: BeamSearchDecoderCTC,
    arpa: Path,
    start: tuple[str, ...],
    follows: tuple[str, ...],
) -> None:
    beam = decoder.decode_beams(spelled(" ".join(follows)), lm_start_state=start)[0]
    model = quiet(arpa)
    state = kenlm.State()
    model.NullContextWrite(state)
    if start == ("<s>",):
        model.BeginSentenceWrite(state)
    score, words = 0.0, (*(start if start != ("<s>",) else ()), *follows, "</s>")
    for place, word in enumerate(words):
        following = kenlm.State()
        log10 = model.BaseScore(state, word, following)
        score += log10 * (place >= len(words) - len(follows) - 1)
        state = following
    expected = 0.5 * math.log(10) * score + 1.5 * len(follows)
    assert lm_part(beam) == pytest.approx(expected, abs=1e-5)


def quiet(arpa: Path) -> kenlm.Model:
    config = kenlm.Config()
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    config.show_progress = False
    return kenlm.Model(str(arpa), config)


def wide(decoder: BeamSearchDecoderCTC, rows: Rows, **options: Any) -> dict[str, tuple[Any, ...]]:
    """Return all texts with what was found for each."""
    beams = decoder.decode_beams(
        rows, beam_width=500, beam_prune_logp=-math.inf, token_min_logp=-math.inf, **options
    )
    return {beam.text: beam for beam in beams}


def alignments(rows: Rows, labels: list[str]) -> dict[str, float]:
    """Return the logarithm of the sum of the probabilities of each text's alignments."""
    sums: dict[str, float] = defaultdict(float)
    for path in itertools.product(range(len(labels)), repeat=len(rows)):
        written = "".join(labels[label] for label, _ in itertools.groupby(path))
        text = " ".join(written.replace("|", " ").split())
        sums[text] += math.exp(sum(rows[frame, label] for frame, label in enumerate(path)))
    return {text: math.log(value) for text, value in sums.items()}


def log10_score(model: kenlm.Model, text: str, known: set[str], offset: float) -> float:
    unknown = sum(word not in known for word in text.split())
    return float(model.score(text, bos=True, eos=True)) + offset * unknown


@given(seeds, weights, st.floats(-2, 2), st.floats(-5, -0.1), st.floats(-3, 30))
def test_scores_are_sums_of_alignments_alpha_log10_and_hot_words(
    small: Path, seed: int, alpha: float, beta: float, offset: float, hot: float
) -> None:
    """With alpha a, a text has a x ln 10 x KenLM's score, the offset of unknown words in that."""
    decoder = build_ctcdecoder(SMALL, small, None, alpha, beta, offset)
    rows = np.random.default_rng(seed).normal(size=(4, len(SMALL)))
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    model = quiet(small)
    expected = alignments(rows, SMALL)
    found = wide(decoder, rows + 3.0, hotwords=["ab"], hotword_weight=hot)
    assert found.keys() == expected.keys()
    for text, beam in found.items():
        lm = alpha * math.log(10) * log10_score(model, text, {"ab", "ba", "a"}, offset)
        score = lm + beta * len(text.split()) + hot * text.split().count("ab")
        assert beam[-2] == pytest.approx(expected[text], abs=1e-4)
        assert lm_part(beam) == pytest.approx(score, abs=1e-4)


@given(seeds, st.floats(-3, 30), st.floats(-2.0, 0.0))
def test_a_hot_word_that_is_not_known_has_what_its_weight_exceeds_the_penalty_by(
    small: Path, seed: int, hot: float, offset: float
) -> None:
    decoder = build_ctcdecoder(SMALL, small, unk_score_offset=offset)
    rows = np.random.default_rng(seed).normal(size=(4, len(SMALL)))
    penalty = -0.5 * math.log(10) * offset
    plain = wide(decoder, rows)
    for text, beam in wide(decoder, rows, hotwords=["bb"], hotword_weight=hot).items():
        gained = lm_part(beam) - lm_part(plain[text])
        # In pyctcdecode it is ``hot``, whatever the penalty.
        each = hot if hot <= 0 else max(hot, penalty)
        assert gained == pytest.approx(each * text.split().count("bb"), abs=1e-4)


@given(seeds, st.sampled_from([0.0, 7.5, -40.0]))
def test_logits_log_probabilities_and_probabilities_are_the_same(seed: int, shift: float) -> None:
    decoder = build_ctcdecoder(SMALL)
    logits = np.random.default_rng(seed).normal(size=(5, len(SMALL)))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = decoder.decode_beams(np.log(probabilities))[0]
    for given_rows in (logits + shift, probabilities, probabilities.astype(np.float32)):
        beam = decoder.decode_beams(given_rows)[0]
        assert beam[:3] == expected[:3]
        assert beam.last_lm_state is None
        assert beam.lm_score == beam.logit_score == pytest.approx(expected.lm_score, abs=1e-5)


def test_the_best_label_of_a_frame_is_considered_however_improbable() -> None:
    rows = np.log(np.array([[0.2, 0.25, 0.2, 0.35], [0.2, 0.35, 0.2, 0.25]]))
    decoder = build_ctcdecoder(SMALL)
    beams = decoder.decode_beams(rows, token_min_logp=-0.5)
    assert beams[0].text == "ba"
    assert "ab" not in [beam.text for beam in decoder.decode_beams(rows[:1], token_min_logp=-0.5)]


def test_history_is_pruned_only_where_asked(decoder: BeamSearchDecoderCTC) -> None:
    rows = np.random.default_rng(5).normal(size=(12, len(LABELS))) * 2
    kept, pruned = (decoder.decode_beams(rows, 8, prune_history=p) for p in (False, True))
    for beams in (kept, pruned):
        assert len({beam.text for beam in beams}) == len(beams) > 1
        assert [b.lm_score for b in beams] == sorted((b.lm_score for b in beams), reverse=True)
    assert [beam.text for beam in pruned] != [beam.text for beam in kept]


def test_the_beam_is_as_wide_as_asked(decoder: BeamSearchDecoderCTC) -> None:
    rows = np.random.default_rng(5).normal(size=(12, len(LABELS)))
    assert len(decoder.decode_beams(rows, beam_width=3)) <= 3
    assert len(decoder.decode_beams(rows, beam_prune_logp=-0.01)) == 1
    scores = [beam.lm_score for beam in decoder.decode_beams(rows)]
    assert len(scores) > 3
    assert scores == sorted(scores, reverse=True)


def test_batches_are_what_single_utterances_are(decoder: BeamSearchDecoderCTC) -> None:
    utterances = [spelled(text, seed) for seed, text in enumerate(["a bug", "bugs a", "tunes"])]
    pool = cast("Pool", SimpleNamespace(_processes=2))
    for given_pool in (None, pool):
        texts = decoder.decode_batch(given_pool, utterances, hotwords=["bug"])
        assert texts == [decoder.decode(rows, hotwords=["bug"]) for rows in utterances]
        beams = decoder.decode_beams_batch(given_pool, utterances, 7)
        expected = [decoder.decode_beams(rows, 7) for rows in utterances]
        assert beams == [[beam[:1] + beam[2:] for beam in found] for found in expected]


def test_no_frames_say_nothing(decoder: BeamSearchDecoderCTC) -> None:
    rows = np.zeros((0, len(LABELS)))
    assert decoder.decode(rows) == ""
    assert decoder.decode_beams(rows) == [("", None, [], 0.0, 0.0)]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"token_min_logp": 0.5}, "token_min_logp is 0.5"),
        ({"beam_prune_logp": 0.0}, "beam_prune_logp is 0.0"),
        ({"beam_prune_logp": math.nan}, "beam_prune_logp is nan"),
        ({"beam_width": 0}, "beam_width is 0"),
        ({"hotwords": "bug"}, "hotwords is the string 'bug'"),
        ({"hotwords": ["bug", 1]}, "hotwords has 1; it must be a list of strings"),
        ({"hotwords": 1}, "hotwords is 1; it must be a list of strings"),
        ({"hotwords": ["B7"]}, "'B7' has '7'"),
        ({"hotwords": ["bug"], "hotword_weight": 1000.0}, "1000"),
        ({"logits": np.zeros((3, 4))}, r"shape \(3, 4\).*\(frames, 13\)"),
        ({"logits": np.full((3, 13), np.nan)}, "frame 0 has NaN"),
    ],
)
def test_what_cannot_be_is_told(
    decoder: BeamSearchDecoderCTC, change: dict[str, Any], names: str
) -> None:
    with pytest.raises(PlainspeechError, match=names):
        decoder.decode(**{"logits": spelled("a bug"), **change})


def test_an_offset_that_rewards_unknown_words_is_refused(decoder: BeamSearchDecoderCTC) -> None:
    decoder.reset_params(unk_score_offset=1.0)
    with pytest.raises(PlainspeechError, match=r"unk_score_offset is 1\.0; it must be 0 or below"):
        decoder.decode(spelled("a bug"))


@pytest.mark.parametrize("read", range(1, 6))
def test_calls_of_other_threads_do_not_change_the_settings(read: int) -> None:
    """Another call comes between any two looks at what the calls share."""

    class Racing(SearchAdapter):
        reads = 0
        shared: Any = None

        @property
        def _decoder(self) -> Any:
            self.reads += 1
            if self.reads == read:
                self.call(7)
            return self.shared

        @_decoder.setter
        def _decoder(self, decoder: Any) -> None:
            self.shared = decoder
            self.reads += 1
            if self.reads == read:
                self.call(7)

        def call(self, width: int) -> Any:
            return self.tuned(rows, Pruning(width, -10.0, -5.0, False), None, None).settings

    rows = np.log(np.full((2, 3), 1 / 3, np.float32))
    racing = Racing(Alphabet(["a", " ", ""]), None)
    racing.reads = 0
    assert racing.call(30).beam_width == 30
