"""An evaluation as tables for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from plainspeech.evaluation.bootstrap import CONFIDENCE, Interval
from plainspeech.evaluation.error_rates import Counts
from plainspeech.evaluation.record import Evaluation
from plainspeech.evaluation.scores import Scores

_ERRORS = ("sub", "del", "ins")


def headline(evaluation: Evaluation) -> str:
    """Return what was run on what, and how fast, in three lines at most."""
    recognition = evaluation.recognition
    minutes, factor = recognition.audio_seconds / 60, recognition.real_time_factor
    lines = [
        f"{evaluation.model_name or evaluation.model}, {evaluation.network}, "
        f"{evaluation.decoder} decoding, on {evaluation.manifest}",
        f"{len(recognition.pairs)} utterances, {minutes:.1f} minutes of audio, "
        f"real-time factor {factor:.4f}",
    ]
    if recognition.missing:
        lines.append(f"missing from all figures because unreadable: {len(recognition.missing)}")
    return "\n".join(lines)


def summary_table(evaluation: Evaluation) -> Table:
    """Return the corpus-level rates with their intervals and the errors by kind."""
    totals = evaluation.scores.totals
    sentences, wrong = len(evaluation.scores.pairs), evaluation.scores.sentences_wrong
    table = _table("", "rate", f"{CONFIDENCE:.0%} interval", *_ERRORS, "of")
    table.add_row("words (WER)", *_row(totals.words, evaluation.word_interval))
    table.add_row("characters (CER)", *_row(totals.characters, evaluation.character_interval))
    table.add_row(
        "sentences wrong", _percent(wrong / max(1, sentences)), *[""] * 4, f"{sentences:,}"
    )
    return table


def speaker_table(scores: Scores) -> Table:
    """Return the rates of each speaker, the one with the highest word error rate first."""
    table = _table("speaker", "utterances", "words", "WER", "CER", *_ERRORS)
    for speaker, part in scores.by_speaker().items():
        words, characters = part.totals.words, part.totals.characters
        table.add_row(
            speaker or "(unknown)",
            f"{len(part.pairs):,}",
            f"{words.reference_length:,}",
            _percent(words.rate),
            _percent(characters.rate),
            *_by_kind(words),
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _row(counts: Counts, interval: Interval) -> list[str]:
    return [
        _percent(counts.rate),
        f"{100 * interval.low:.2f} to {_percent(interval.high)}",
        *_by_kind(counts),
        f"{counts.reference_length:,}",
    ]


def _by_kind(counts: Counts) -> list[str]:
    return [f"{n:,}" for n in (counts.substitutions, counts.deletions, counts.insertions)]


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"
