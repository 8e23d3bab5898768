"""The search on error rates that are written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from plainspeech.decoding.settings import BeamSettings
from plainspeech.tuning.optimisation import (
    ALLOWED_LOSS,
    RANGES,
    SHARES,
    THRESHOLD_TRIALS,
    Measure,
    Stage,
    Trial,
    TuningHistory,
    optimise,
)

PRIORS = (-1.5, -2.0, -0.5)
START = BeamSettings(alpha=0.5, beta=1.0, beam_width=33, merge="prefix", log_priors=PRIORS)
BEST = BeamSettings(
    alpha=1.2, beta=-0.5, unknown_word_penalty=17.0, prior_weight=0.4, log_priors=PRIORS
)


def valley(settings: BeamSettings, shares: Sequence[float]) -> Trial:
    """A bowl around `BEST` that thresholds below 8 and above -5 spoil; narrow is fast."""
    distance = math.dist(place(settings), place(BEST))
    spoilt = settings.beam_threshold < 8 or settings.token_floor > -5
    work = settings.beam_threshold - settings.token_floor
    return Trial(settings, 0.2 + distance**2 + 0.01 * spoilt, work)


def place(settings: BeamSettings) -> list[float]:
    return [getattr(settings, name) / (r.high - r.low) for name, r in RANGES.items()]


def ignore(stage: Stage, trial: Trial) -> None:
    del stage, trial


def run(
    measure: Measure = valley,
    start: BeamSettings = START,
    trials: int = 60,
    seed: int = 0,
) -> TuningHistory:
    return optimise(measure, start, trials, seed, ignore)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_what_was_planted(seed: int) -> None:
    chosen = run(seed=seed, trials=80).chosen
    assert math.dist(place(chosen), place(BEST)) < 0.15
    assert math.dist(place(START), place(BEST)) > 0.4
    assert (chosen.beam_threshold, chosen.token_floor) == (8, -5)


def test_what_is_not_tuned_stays() -> None:
    chosen = run(trials=3).chosen
    assert (chosen.beam_width, chosen.merge) == (33, "prefix")


def test_the_same_seed_tries_the_same_and_another_does_not() -> None:
    first, again, other = run(trials=20), run(trials=20), run(trials=20, seed=1)
    assert (first.weights, first.thresholds) == (again.weights, again.thresholds)
    assert first.weights != other.weights


def test_it_begins_where_it_starts_and_counts() -> None:
    seen: list[Stage] = []
    found = optimise(valley, START, 12, 0, lambda stage, _: seen.append(stage))
    assert seen == ["weights"] * 12 + ["thresholds"] * THRESHOLD_TRIALS
    first = found.weights[0].settings
    assert (first.alpha, first.beta, first.unknown_word_penalty) == (
        START.alpha,
        START.beta,
        START.unknown_word_penalty,
    )
    assert {(t.settings.alpha, t.settings.beta) for t in found.thresholds} == {
        (found.chosen.alpha, found.chosen.beta)
    }


def test_thresholds_may_stay_as_they_are() -> None:
    start = replace(START, beam_threshold=9.5, token_floor=-6.5)
    found = optimise(valley, start, 12, 0, ignore, thresholds=False)
    assert {(t.settings.beam_threshold, t.settings.token_floor) for t in found.weights} == {
        (9.5, -6.5)
    }
    assert (found.finished, found.thresholds) == (True, [])
    assert found.chosen == min(found.weights, key=lambda trial: trial.word_error_rate).settings


def test_a_start_beyond_the_ranges_is_brought_within() -> None:
    first = run(start=BeamSettings(alpha=7.0, beta=0.333), trials=1).weights[0].settings
    assert (first.alpha, first.beta) == (2.0, 0.35)


def test_who_forbids_unknown_words_goes_on_to() -> None:
    found = run(start=BeamSettings(unknown_word_penalty=0.0), trials=15)
    assert {trial.settings.unknown_word_penalty for trial in found.weights} == {0.0}


def test_over_phones_the_penalty_of_unknown_words_stays() -> None:
    start = BeamSettings(unknown_word_penalty=25.0)
    found = optimise(valley, start, 15, 0, ignore, over_phones=True)
    assert {trial.settings.unknown_word_penalty for trial in found.weights} == {25.0}


def test_a_recurrent_model_has_its_share_tuned_where_it_has_one() -> None:
    asked: list[Sequence[float]] = []

    def measure(settings: BeamSettings, shares: Sequence[float]) -> Trial:
        asked.append(shares)
        return valley(replace(settings, neural_weight=0.7), shares)

    found = run(measure, BeamSettings(neural_weight=0.5), trials=5)
    assert asked == [SHARES] * 5 + [[0.7]] * THRESHOLD_TRIALS
    assert found.chosen.neural_weight == 0.7


def test_without_priors_they_have_no_weight() -> None:
    found = run(start=BeamSettings(), trials=15)
    assert {trial.settings.prior_weight for trial in found.weights} == {0.0}


@pytest.mark.parametrize("given", [0.9 * ALLOWED_LOSS, 1.1 * ALLOWED_LOSS])
def test_speed_may_cost_next_to_nothing(given: float) -> None:
    """Below a threshold of 10 it costs ``given``."""

    def measure(settings: BeamSettings, shares: Sequence[float]) -> Trial:
        return Trial(settings, 0.2 + given * (settings.beam_threshold < 10), 1.0)

    assert run(measure, trials=1).chosen.beam_threshold == (6 if given < ALLOWED_LOSS else 10)


def test_no_measured_time_makes_the_wider_of_two_the_faster() -> None:
    """A machine that got faster meanwhile: what is tried last, the widest, seems the fastest."""
    clock = iter(range(10_000, 0, -1))
    found = run(lambda settings, shares: Trial(settings, 0.2, next(clock)), trials=1)
    assert (found.chosen.beam_threshold, found.chosen.token_floor) == (6, -4)


@pytest.mark.parametrize("after", [1, 7, 30, 30 + THRESHOLD_TRIALS - 1])
def test_an_interrupt_keeps_the_best_so_far(after: int) -> None:
    tried: list[Trial] = []

    def measure(settings: BeamSettings, shares: Sequence[float]) -> Trial:
        if len(tried) == after:
            raise KeyboardInterrupt
        tried.append(valley(settings, shares))
        return tried[-1]

    found = run(measure, trials=30)
    assert not found.finished
    assert [*found.weights, *found.thresholds] == tried
    best = min(tried[:30], key=lambda trial: trial.word_error_rate)
    assert found.chosen == best.settings


def test_an_interrupt_at_once_leaves_nothing() -> None:
    def measure(settings: BeamSettings, shares: Sequence[float]) -> Trial:
        raise KeyboardInterrupt

    assert run(measure).weights == []
