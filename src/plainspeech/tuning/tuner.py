"""Tuning of a model with a scorer on a dev set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from plainspeech.data.manifest import Track, untracked
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.calibration import fit_calibration
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import LanguageModelError
from plainspeech.evaluation.error_rates import (
    CONFIDENCE,
    Interval,
    Scores,
    difference_interval,
    rate_interval,
)
from plainspeech.lm.package import read_scorer_files, with_weights
from plainspeech.lm.scorer import Scorer
from plainspeech.runtime.bundle import SCORER_FOLDER, Bundle, named_scorer
from plainspeech.runtime.decoders import choose_decoder, search_of, weighted
from plainspeech.runtime.model_card import results_of
from plainspeech.tuning.dev_set import DevResult, DevSet
from plainspeech.tuning.optimisation import OnTrial, Trial, TuningHistory, optimise

_CONFIDENCES = "confidences"
"""Of the card: what ``benchmarks.conditions.confidence`` fitted them to."""

ENOUGH_WORDS = 100
"""Right ones and wrong ones, to fit confidences to."""


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the comparison: a decoder and its result on the dev set.

    Attributes:
        name: of the row in the table.
        decoder: its description.
        result: texts and time.
        scores: errors of each utterance.
    """

    name: str
    decoder: str
    result: DevResult
    scores: Scores

    @property
    def word_error_rate(self) -> float:
        """Of the whole set."""
        return self.scores.totals.words.rate

    @property
    def character_error_rate(self) -> float:
        """Of the whole set."""
        return self.scores.totals.characters.rate


def difference(before: ComparisonRow, after: ComparisonRow) -> tuple[float, Interval]:
    """Return by how much the word error rate changed, and the interval of that."""
    change = after.word_error_rate - before.word_error_rate
    return change, difference_interval(before.scores.words, after.scores.words)


def comparison(rows: Sequence[ComparisonRow]) -> Table:
    """Return error rates and speed of each of ``rows``."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("decoder", no_wrap=True)
    for heading in ("WER", f"{CONFIDENCE:.0%} interval", "CER", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        interval = rate_interval(row.scores.words)
        table.add_row(
            row.name,
            row.decoder,
            f"{row.word_error_rate:.2%}",
            f"{interval.low:.2%} to {interval.high:.2%}",
            f"{row.character_error_rate:.2%}",
            f"{row.result.milliseconds:.3f}",
        )
    return table


def tuned_bundle(
    bundle: Bundle,
    settings: BeamSettings,
    scorer_files: Mapping[str, bytes],
    entry: Mapping[str, Any],
) -> Bundle:
    """Return ``bundle`` with a scorer, the settings for it, and how they were found on its card.

    Earlier results of its beam search are removed from the card, since they are of other settings,
    and what earlier confidences were fitted to.
    """
    results = [row for row in results_of(bundle.card) if row.get("decoder") == "greedy"]
    return replace(
        bundle,
        decoding=settings,
        scorer_files=with_weights(
            scorer_files, settings.alpha, settings.beta, settings.neural_weight
        ),
        card={
            **{key: value for key, value in bundle.card.items() if key != _CONFIDENCES},
            "results": results,
            "tuning": dict(entry),
        },
    )


def card_figures(row: ComparisonRow) -> dict[str, Any]:
    """Return the entry of ``row`` on the model's card."""
    return {
        "decoder": row.decoder,
        "wer": row.word_error_rate,
        "wer_interval": list(asdict(rate_interval(row.scores.words)).values()),
        "cer": row.character_error_rate,
    }


@dataclass(frozen=True)
class Tuner:
    """A model and the scorer that it is tuned with.

    Attributes:
        bundle: the model as it is.
        scorer_files: of the scorer that it gets.
        untuned: the beam search with that scorer: the model's settings, but where the scorer is
            another than the model's, the scorer's weights.
        is_new: whether the scorer is another than the model's.
    """

    bundle: Bundle
    scorer_files: Mapping[str, bytes]
    untuned: BeamSearchDecoder
    is_new: bool

    @classmethod
    def open(cls, bundle: Bundle, language_model: Path | None, beam_width: int | None) -> Tuner:
        """Prepare to tune ``bundle``.

        Args:
            bundle: the model.
            language_model: a scorer in place of the bundle's.
            beam_width: in place of the bundle's.

        Raises:
            LanguageModelError: there is no scorer, or it cannot be read or be in a bundle, or it
                does not fit the model.
        """
        # Confidences were fitted to the search as it was.
        settings = replace(bundle.decoding, calibration=None)
        if beam_width:
            settings = replace(settings, beam_width=beam_width)
        if language_model:
            language_model = named_scorer(language_model)
            files = read_scorer_files(language_model)
            scorer = Scorer.from_files(language_model, files)
            settings = weighted(settings, scorer)
        elif bundle.scorer_files:
            files = dict(bundle.scorer_files)
            scorer = Scorer.from_files(bundle.origin / SCORER_FOLDER, files)
        else:
            raise LanguageModelError(
                f"{bundle.origin}: has no language model; give one (--language-model SCORER)"
            )
        return cls(bundle, files, search_of(bundle, scorer, settings), language_model is not None)

    def search(
        self, dev_set: DevSet, trials: int, seed: int, on_trial: OnTrial, thresholds: bool = True
    ) -> TuningHistory:
        """Search for the settings; see `plainspeech.tuning.optimisation`."""

        def measure(settings: BeamSettings, shares: Sequence[float]) -> Trial:
            decoder = self.untuned.with_settings(**vars(settings))
            if not settings.neural_weight:
                result = dev_set.decode(decoder)
                return Trial(settings, result.word_error_rate, result.milliseconds)
            results = dev_set.decode_with_shares(decoder, shares)
            rates = [result.word_error_rate for result in results]
            best = rates.index(min(rates))
            settings = replace(settings, neural_weight=shares[best])
            return Trial(settings, rates[best], results[best].milliseconds)

        start = replace(self.untuned.settings, log_priors=dev_set.log_priors(self.untuned))
        over_phones = self.untuned.spoken is not None
        return optimise(measure, start, trials, seed, on_trial, over_phones, thresholds)

    def calibrate(
        self, dev_set: DevSet, chosen: BeamSettings, track: Track = untracked
    ) -> BeamSettings:
        """Return ``chosen`` with confidences fitted to the words that it finds, right and wrong.

        Where there are few words, the default calibration is more accurate and is kept.
        """
        evidence, correct = dev_set.evidence(self.untuned.with_settings(**vars(chosen)), track)
        if min(correct.sum(), (~correct).sum()) < ENOUGH_WORDS:
            return chosen
        return replace(chosen, calibration=fit_calibration(evidence, correct))

    def compare(
        self, dev_set: DevSet, chosen: BeamSettings, track: Track = untracked
    ) -> list[ComparisonRow]:
        """Measure the model as it is, with a new scorer untuned, and with ``chosen`` settings."""
        decoders = {
            "before": choose_decoder(self.bundle),
            "untuned": self.untuned,
            "tuned": self.untuned.with_settings(**vars(chosen)),
        }
        if not self.is_new:
            del decoders["untuned"]
        results = dev_set.compare(list(decoders.values()), track=track)
        return [
            ComparisonRow(name, decoder.description, result, result.scores)
            for (name, decoder), result in zip(decoders.items(), results, strict=True)
        ]
