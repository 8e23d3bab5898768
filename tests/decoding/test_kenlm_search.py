"""The search with a model of KenLM's finds what it finds with the same model as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from brute_force import random_rows

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.lm.arpa import write_arpa
from plainspeech.lm.build import BuildSettings, build_model
from plainspeech.lm.scorer import Scorer

SMALL = Alphabet((" ", "a", "b"))


def test_kenlm_and_arrays_give_the_same_hypotheses(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ab ba\nba ab ba\nabba a\na ab\nab bab ba\n")
    settings = BuildSettings(order=3, prune=(0,), estimator="builtin", alphabet=SMALL)
    model, _ = build_model([tmp_path / "text"], settings)
    write_arpa(tmp_path / "m.arpa", model.vocabulary, model.levels)
    flat = Scorer.from_arpa(tmp_path / "m.arpa")
    asking = Scorer.from_kenlm(tmp_path / "m.arpa", flat.words)
    decoders = [
        BeamSearchDecoder(SMALL, scorer, unknown_word_penalty=3.0) for scorer in (flat, asking)
    ]
    for seed in range(20):
        rows = random_rows(seed, 30, SMALL.size)
        ours, theirs = (decoder.decode_n_best(rows, 5, {"ab ba": 1.0}) for decoder in decoders)
        assert [h.transcript.text for h in ours] == [h.transcript.text for h in theirs]
        np.testing.assert_allclose(
            [h.lm_score for h in ours], [h.lm_score for h in theirs], rtol=1e-4
        )
