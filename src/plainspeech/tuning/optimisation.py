"""Optimisation of the settings of the beam search: first the weights, then the thresholds.

1. Weights: alpha, beta, the penalty of unknown words and the power of the symbols' priors, by the
   tree-structured Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter optimization",
   NeurIPS 2011), at thresholds that are wide. Of a recurrent language model each trial takes the
   best of all shares, for the texts that it scores anew do not depend on it.
2. Thresholds, at the best weights: all pairs of a grid. The fastest is taken of those that cost
   next to no accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal

import optuna
from optuna.samplers import TPESampler

from plainspeech.decoding.settings import BeamSettings

Stage = Literal["weights", "thresholds"]

ALLOWED_LOSS = 0.001
"""Word error rate that may be given for speed: 0.1 points, a tenth of what chance is on an hour."""


@dataclass(frozen=True)
class ParameterRange:
    """The values that a weight can have: from ``low`` to ``high`` by steps of ``step``."""

    low: float
    high: float
    step: float

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Return the value to try for the weight ``name``."""
        return round(trial.suggest_float(name, self.low, self.high, step=self.step), 2)

    def nearest(self, value: float) -> float:
        """Return the value nearest to ``value``."""
        steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
        return round(self.low + steps * self.step, 2)


_PENALTY = "unknown_word_penalty"
_PRIOR_WEIGHT = "prior_weight"

RANGES = {
    "alpha": ParameterRange(0.0, 2.0, 0.01),
    "beta": ParameterRange(-2.0, 4.0, 0.05),
    _PENALTY: ParameterRange(2.0, 30.0, 0.5),
    _PRIOR_WEIGHT: ParameterRange(0.0, 1.0, 0.05),
}

SHARES = [round(0.05 * step, 2) for step in range(1, 20)]
"""Of a recurrent language model, that are tried."""

THRESHOLDS: dict[str, list[float]] = {
    "beam_threshold": [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0, 16.0],
    "token_floor": [-4.0, -5.0, -6.0, -7.0, -8.0, -9.0],
}
"""From the narrowest to the widest; at the widest the weights are chosen."""

THRESHOLD_TRIALS = len(list(product(*THRESHOLDS.values())))
"""How many the second stage has."""


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    Attributes:
        settings: of the beam search.
        word_error_rate: of the dev set.
        milliseconds: of processor time a second of audio.
    """

    settings: BeamSettings
    word_error_rate: float
    milliseconds: float


Measure = Callable[[BeamSettings, Sequence[float]], Trial]
"""Tries settings with each of some shares of a recurrent language model, and returns the best."""

OnTrial = Callable[[Stage, Trial], None]


@dataclass
class TuningHistory:
    """The trials so far, and the best settings.

    Attributes:
        weights: trials of the first stage.
        thresholds: trials of the second.
        finished: whether there were as many as there should have been.
    """

    weights: list[Trial] = field(default_factory=list)
    thresholds: list[Trial] = field(default_factory=list)
    finished: bool = False

    @property
    def chosen(self) -> BeamSettings:
        """The settings to use; the best weights, as they were tried, before the second stage ends.

        Of its trials within `ALLOWED_LOSS` of the best, the fastest. Times are noisy: whatever they
        say, no trial counts as faster than one whose thresholds are both narrower.
        """
        if not (self.finished and self.thresholds):
            return _best(self.weights).settings
        limit = _best(self.thresholds).word_error_rate + ALLOWED_LOSS
        good = [trial for trial in self.thresholds if trial.word_error_rate <= limit]
        narrow = [trial for trial in good if not any(_narrower(other, trial) for other in good)]
        return min(narrow, key=lambda trial: trial.milliseconds).settings


def optimise(
    measure: Measure,
    start: BeamSettings,
    trials: int,
    seed: int,
    on_trial: OnTrial,
    over_phones: bool = False,
    thresholds: bool = True,
) -> TuningHistory:
    """Search for the best settings.

    ``KeyboardInterrupt`` ends the search, which then has what was found until then.

    Args:
        measure: tries settings; those with `BeamSettings.neural_weight` 0 keep it.
        start: its weights are tried first, and what is not tuned is as it is there. Where it
            forbids unknown words, has no priors or gives a recurrent language model no weight,
            that is not tuned either.
        trials: how many weights to try, 1 or more.
        seed: of the first stage, which with the same seed tries the same settings.
        on_trial: called after each trial.
        over_phones: whether the search is over phones, which takes no unknown words: their penalty
            stays as it is.
        thresholds: whether to tune them; otherwise they are as at the start.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # of Ctrl-C it warns, with a traceback
    found = TuningHistory()
    try:
        widest = {name: values[-1] for name, values in THRESHOLDS.items()} if thresholds else {}
        base = _with(start, widest)
        _tune_weights(measure, base, trials, seed, found.weights, on_trial, over_phones)
        if thresholds:
            _tune_thresholds(measure, found.chosen, found.thresholds, on_trial)
        found.finished = True
    except KeyboardInterrupt:
        pass
    return found


def _tune_weights(
    measure: Measure,
    base: BeamSettings,
    trials: int,
    seed: int,
    done: list[Trial],
    on_trial: OnTrial,
    over_phones: bool,
) -> None:
    fixed = {
        _PENALTY: over_phones or not base.unknown_word_penalty,
        _PRIOR_WEIGHT: base.log_priors is None,
    }
    tuned = [name for name in RANGES if not fixed.get(name)]

    def objective(trial: optuna.Trial) -> float:
        weights = {name: RANGES[name].suggest(trial, name) for name in tuned}
        done.append(measure(_with(base, weights), SHARES))
        on_trial("weights", done[-1])
        return done[-1].word_error_rate

    # A quarter at random, so that the surface is known beyond the neighbourhood of the best.
    sampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=max(10, trials // 4))
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({name: RANGES[name].nearest(getattr(base, name)) for name in tuned})
    study.optimize(objective, n_trials=trials)


def _tune_thresholds(
    measure: Measure, weights: BeamSettings, done: list[Trial], on_trial: OnTrial
) -> None:
    for beam_threshold, token_floor in product(*THRESHOLDS.values()):
        pair = replace(weights, beam_threshold=beam_threshold, token_floor=token_floor)
        done.append(measure(pair, [pair.neural_weight]))
        on_trial("thresholds", done[-1])


def _with(settings: BeamSettings, changes: Mapping[str, float]) -> BeamSettings:
    return BeamSettings(**{**vars(settings), **changes})


def _best(trials: Sequence[Trial]) -> Trial:
    return min(trials, key=lambda trial: trial.word_error_rate)


def _narrower(one: Trial, other: Trial) -> bool:
    """Return whether ``one`` has thresholds at least as narrow as ``other``, and not the same."""
    mine, others = one.settings, other.settings
    return (
        mine.beam_threshold <= others.beam_threshold
        and mine.token_floor >= others.token_floor
        and mine != others
    )
