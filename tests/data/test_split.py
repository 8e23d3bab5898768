"""A corpus is split so that dev has no speaker, or no sentence, of the training data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.data.manifest import Utterance
from plainspeech.data.split import by_speaker, known_sentences, split
from plainspeech.errors import ConfigurationError, DataError

shares = st.floats(0.01, 0.99)
names = st.sampled_from(["", "a", "b", "c", "d"])
rows = st.lists(st.tuples(names, st.sampled_from("xyz"), st.floats(0.1, 30)), min_size=1)


def corpus(rows: list[tuple[str, str, float]]) -> list[Utterance]:
    return [
        Utterance(f"u{n}", Path(f"{n}.wav"), text, seconds, speaker)
        for n, (speaker, text, seconds) in enumerate(rows)
    ]


@given(rows, shares)
def test_every_utterance_is_on_one_side_and_no_group_is_on_both(
    rows: list[tuple[str, str, float]], share: float
) -> None:
    utterances = corpus(rows)
    speakers = by_speaker(utterances)

    def key(utterance: Utterance) -> str:
        return utterance.speaker if speakers else utterance.text

    if len({key(u) for u in utterances}) < 2:
        with pytest.raises(DataError, match="nothing to split"):
            split(utterances, share)
        return
    train, dev = split(utterances, share)
    assert train
    assert dev
    assert sorted([*train, *dev], key=utterances.index) == utterances
    assert not {key(u) for u in train} & {key(u) for u in dev}
    assert known_sentences(train, dev) == sum(u.text in [v.text for v in train] for u in dev)
    assert speakers or not known_sentences(train, dev)
    again, _ = split(list(reversed(utterances)), share)
    assert {u.id for u in again} == {u.id for u in train}


def test_dev_has_about_its_share() -> None:
    utterances = corpus([(f"s{n % 50}", f"text {n}", 1 + n % 7) for n in range(1000)])
    _, dev = split(utterances, 0.1)
    share = sum(u.duration for u in dev) / sum(u.duration for u in utterances)
    assert 0.1 <= share <= 0.2


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        split(corpus([("a", "x", 1.0), ("a", "y", 1.0)]), share)
