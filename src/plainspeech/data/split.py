"""One corpus into training data and dev, which share no speaker, or else no sentence."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from plainspeech.data.manifest import Utterance
from plainspeech.errors import ConfigurationError, DataError

FEWEST_SPEAKERS = 3
"""With fewer, one of them would be too much of the corpus: it is split by sentences."""


def by_speaker(utterances: Sequence[Utterance]) -> bool:
    """Return whether `split` keeps speakers apart: all are known, and there are enough of them."""
    speakers = {utterance.speaker for utterance in utterances}
    return "" not in speakers and len(speakers) >= FEWEST_SPEAKERS


def split(
    utterances: Sequence[Utterance], dev_share: float
) -> tuple[list[Utterance], list[Utterance]]:
    """Return what to train on and what to measure on, each in the order of ``utterances``.

    Speakers go to dev whole. Where they are unknown or too few, all recordings of one sentence go
    together, so that nothing is measured on a sentence that was trained on. Which ones they are
    depends on their names alone, not on their order.

    Args:
        utterances: of one corpus.
        dev_share: of their time that goes to dev, about.

    Raises:
        ConfigurationError: the share is not between 0 and 1.
        DataError: there are fewer than two speakers or sentences.
    """
    if not 0 < dev_share < 1:
        raise ConfigurationError(f"the share of dev is {dev_share:g}; it must be between 0 and 1")
    speakers = by_speaker(utterances)
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.speaker if speakers else utterance.text].append(utterance)
    if len(groups) < 2:
        raise DataError("there is nothing to split: all recordings are of one sentence")
    chosen = _choose({name: _seconds(group) for name, group in groups.items()}, dev_share)
    dev = {id(utterance) for name in chosen for utterance in groups[name]}
    return (
        [utterance for utterance in utterances if id(utterance) not in dev],
        [utterance for utterance in utterances if id(utterance) in dev],
    )


def known_sentences(train: Sequence[Utterance], dev: Sequence[Utterance]) -> int:
    """Return how many recordings of ``dev`` are of a sentence that ``train`` has, too."""
    texts = {utterance.text for utterance in train}
    return sum(utterance.text in texts for utterance in dev)


def _choose(seconds: dict[str, float], share: float) -> list[str]:
    """Return names whose seconds are about ``share`` of all: not all of them, and one at least."""
    wanted = share * sum(seconds.values())
    ordered = sorted(seconds, key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen: list[str] = []
    have = 0.0
    for name in ordered:
        if have + seconds[name] <= 2 * wanted and len(chosen) + 1 < len(seconds):
            chosen.append(name)
            have += seconds[name]
            if have >= wanted:
                break
    return chosen or [min(ordered, key=lambda name: seconds[name])]


def _seconds(utterances: Sequence[Utterance]) -> float:
    return sum(utterance.duration for utterance in utterances)
