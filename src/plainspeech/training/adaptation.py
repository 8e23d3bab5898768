"""A trained model made to fit recordings of one's own: what ``plainspeech adapt`` does.

The base data is not at hand where a model is adapted, and little data is easily learned by heart.
Three things keep what the model knew: the weights decay towards those of the start (L2-SP; Li,
Grandvalet and Davoine, ICML 2018), training ends when dev gets no better, and what is kept is a
point between start and end (WiSE-FT; Wortsman et al., CVPR 2022), the nearest to the start that is
about as good on dev as any.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plainspeech.data.manifest import Utterance, write_manifest
from plainspeech.errors import DataError, ModelError
from plainspeech.evaluation.error_rates import (
    Interval,
    Scores,
    difference_interval,
    error_rates,
    rate_interval,
)
from plainspeech.evaluation.recognition import recognise
from plainspeech.files import write_atomically
from plainspeech.runtime.bundle import LEXICON_FILE, Bundle
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.augmentation import Augmentation
from plainspeech.training.checkpoint import load_weights
from plainspeech.training.combination import combine
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, Trainer
from plainspeech.training.recipe import Data, Optimisation, Recipe

FEWEST = 8
"""Utterances: with fewer there is nothing to learn from beside what is kept for measuring."""

LONGEST = 35.0
"""Seconds of a recording; a longer one takes too much memory in training, and CTC aligns it
badly."""

_FEWEST_DEV = 3
_DEV_SHARE = 0.2
_RATE = 2e-4
_START_DECAY = 30.0
_CRF_WEIGHT = 0.9  # as networks that hear phones are trained
_PATIENCE = 4  # epochs
_SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the trained weights in the sum with those of the start."""

_ABOUT = 1.02
"""Character error rates within this factor of the lowest count as equal."""


def split(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Return what to train on and the fifth of the recordings to measure on.

    Which they are depends on their ids alone, not on their order.

    Raises:
        DataError: there are too few.
    """
    if len(utterances) < FEWEST:
        raise DataError(
            f"{len(utterances)} recordings are too few to adapt a model: {FEWEST} are the least, "
            f"a minute of speech is useful, ten minutes are better"
        )
    ordered = sorted(utterances, key=lambda u: (hashlib.sha256(u.id.encode()).digest(), u.id))
    count = max(_FEWEST_DEV, round(_DEV_SHARE * len(ordered)))
    return ordered[count:], ordered[:count]


def adaptation_recipe(name: str, start: Path, folder: Path, seconds: float) -> Recipe:
    """Return the recipe of an adaptation, for the manifests that `write_split` writes.

    Args:
        name: of the model to make.
        start: the bundle to start from.
        folder: of the run.
        seconds: of training data: less of it is seen more often, in smaller batches.

    Raises:
        ModelError: ``start`` is no bundle, or has no weights to train from.
    """
    bundle = Bundle.load(start)
    card = bundle.card
    # About ten batches an epoch, and 15 epochs over three minutes, 5 over half an hour.
    batch_seconds = min(max(seconds / 10, 12.0), 64.0)
    epochs = round(min(max(15 * math.sqrt(180 / seconds), 4.0), 15.0))
    return Recipe(
        name=name,
        preset=load_weights(start).run["recipe"]["preset"],
        data=Data(
            (folder / "train.jsonl",),
            folder / "dev.jsonl",
            batch_seconds,
            pronunciations=folder / LEXICON_FILE if bundle.phones else None,
        ),
        optimisation=Optimisation(
            epochs=epochs,
            learning_rate=_RATE,
            warmup_epochs=min(1.0, epochs / 10),
            weight_decay=0.0,
            average_decay=0.99,
            start_decay=_START_DECAY,
            crf_weight=_CRF_WEIGHT if bundle.phones else 0.0,
            patience=_PATIENCE,
        ),
        alphabet=bundle.alphabet.text,
        augmentation=Augmentation(),
        initial=start,
        card={
            key: card[key] for key in ("language", "description", "licence", "data") if key in card
        },
    )


def write_split(
    folder: Path, train: Sequence[Utterance], dev: Sequence[Utterance], start: Path
) -> None:
    """Write the manifests that an `adaptation_recipe` names, and the lexicon of ``start``.

    Raises:
        DataError: they cannot be written.
    """
    try:
        for name, content in Bundle.load(start).lexicon.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}") from error
    write_manifest(folder / "train.jsonl", train)
    write_manifest(folder / "dev.jsonl", dev)


@dataclass(frozen=True)
class Adapted:
    """An adapted model and what it is worth.

    Attributes:
        bundle: with the scorer, the settings and the frequency warps of the start.
        share: of the trained weights in the sum with those of the start.
        before: the start on the dev part, with its usual decoder.
        after: the adapted model, likewise.
    """

    bundle: Bundle
    share: float
    before: Scores
    after: Scores

    @property
    def intervals(self) -> tuple[Interval, Interval, Interval]:
        """Of the word error rates before and after, and of their difference."""
        before, after = self.before.words, self.after.words
        return rate_interval(before), rate_interval(after), difference_interval(before, after)

    @property
    def is_worse(self) -> bool:
        """Whether more words are wrong than with the start."""
        return self.after.totals.words.rate > self.before.totals.words.rate

    def write(self, folder: Path) -> None:
        """Write the bundle, if it is no worse than its start.

        Raises:
            ModelError: it is worse, or cannot be written.
        """
        if self.is_worse:
            before, after = (scores.totals.words.rate for scores in (self.before, self.after))
            raise ModelError(
                f"{folder}: not written: on the {len(self.before.pairs)} recordings kept for "
                f"measuring, the adapted model has {after:.2%} of the words wrong, its start "
                f"{before:.2%}; look for wrong texts with 'plainspeech data check', or record more"
            )
        self.bundle.write(folder)


def finish(trainer: Trainer, dev: Sequence[Utterance]) -> Adapted:
    """Choose the point between the start and a trained end, and measure it beside the start.

    Args:
        trainer: of an `adaptation_recipe`, that has fit.
        dev: the utterances to measure on.
    """
    start = trainer.recipe.initial
    assert start is not None
    paths = (trainer.folder / BEST, start)
    share = _choose_share(trainer, paths)
    chosen = trainer.folder / "chosen.safetensors"
    combine(paths, (share, 1 - share)).save(chosen)
    exported = trainer.folder / "bundle"
    export_bundle(chosen, exported, pronunciations=trainer.recipe.data.pronunciations)
    begun, made = Bundle.load(start), Bundle.load(exported)
    made = replace(
        made,
        decoding=begun.decoding,
        scorer_files=begun.scorer_files,
        frequency_warps=begun.frequency_warps,
    )
    made.write(exported)
    before, after = _measured(start, dev), _measured(exported, dev)
    adapted = Adapted(Bundle.load(exported), share, before, after)
    minutes = round(60 * trainer.run["hours"], 1)
    return replace(adapted, bundle=replace(adapted.bundle, card=_card(adapted, begun, minutes)))


def _choose_share(trainer: Trainer, paths: tuple[Path, Path]) -> float:
    """Return the least share of the trained weights that is about as good on dev as any."""
    rates = {}
    for share in _SHARES:
        combine(paths, (share, 1 - share)).give_average(trainer.state.model, paths[0])
        rates[share] = error_rates(trainer.recognise_dev()).characters.rate
    return next(share for share in _SHARES if rates[share] <= _ABOUT * min(rates.values()))


def _measured(bundle: Path, dev: Sequence[Utterance]) -> Scores:
    found = recognise(load_model(bundle), dev, lambda _: None, lambda _: None)
    return Scores.of(found.pairs)


def _card(adapted: Adapted, start: Bundle, minutes: float) -> dict[str, object]:
    """Return the card of the adapted model, with what it was adapted to and what that changed."""
    card = dict(adapted.bundle.card)
    del card["hours_of_training_data"]  # which are minutes
    card["adaptation"] = {
        "start": start.card.get("name", ""),
        "minutes": minutes,
        "share": adapted.share,
        "dev_utterances": len(adapted.before.pairs),
        **{
            name: {"wer": scores.totals.words.rate, "interval": [interval.low, interval.high]}
            for name, scores, interval in zip(
                ("before", "after"),
                (adapted.before, adapted.after),
                adapted.intervals[:2],
                strict=True,
            )
        },
    }
    return card
