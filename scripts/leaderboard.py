"""Write docs/leaderboard.md: a row for each run, from the cards of the models they gave.

    plainspeech model card runs/NAME/bundle --json > docs/runs/NAME.json
    python scripts/leaderboard.py

The records are docs/runs/*.json. Error rates are those that `plainspeech model record` put on the
cards. A word error rate with a scorer decides the order, else the greedy one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
SETS = {"dev": "dev-clean", "CV dev": "common_voice_dev"}
"""Column headings, and how the manifests of the two sets are named."""

HEAD = """\
# Leaderboard
Every training run that was kept, the best first, by `python scripts/leaderboard.py` from the
records in `docs/runs/`. Word and character error rates in percent, of the int8 network, which hears
each utterance once, corpus-level: **dev** is ten speakers of dev-clean from MP3 copies (1.35 h),
which selects weights and tunes the search; **CV dev** 100 clips of Common Voice (0.13 h), which do
neither. Greedy, and by beam search with the model's own 4-gram scorer. Hours of audio count every
view of an utterance; hours are of this run alone, without those that it started from.

"""


def main() -> None:
    """Write the leaderboard; with ``--check``, say whether it is up to date instead."""
    text = leaderboard(DOCS / "runs")
    target = DOCS / "leaderboard.md"
    if "--check" not in sys.argv:
        target.write_text(text, encoding="utf-8")
    elif text != target.read_text(encoding="utf-8"):
        sys.exit("docs/leaderboard.md is not what scripts/leaderboard.py writes: run it")


def leaderboard(folder: Path) -> str:
    """Return the page for the records in ``folder``."""
    cards = [(path.stem, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    rates = [f"{name} {kind}" for name in SETS for kind in ("greedy", "scorer")]
    headings = ["run", "what it tried", "data, h", *rates]
    headings += ["audio, h", "hours", "processor hours", "parameters, M", "seed"]
    lines = [_row(headings), _row(["---", "---", *["--:"] * (len(headings) - 2)])]
    for name, card in sorted(cards, key=lambda item: _order(item[1])):
        found = [_rates(card, manifest, kind) for manifest in SETS.values() for kind in (0, 1)]
        lines.append(
            _row(
                [
                    name,
                    card.get("change", ""),
                    _number(card.get("hours_of_training_data"), 1),
                    *map(_percent, found),
                    _number(card.get("hours_of_audio"), 0),
                    _number(card.get("hours_of_training"), 2),
                    _number(card.get("processor_hours"), 2),
                    _number(card["parameters"] / 1e6 if "parameters" in card else None, 1),
                    _number(card.get("seed"), 0),
                ]
            )
        )
    return HEAD + "".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _rates(card: Mapping[str, Any], manifest: str, scorer: int) -> tuple[float, float] | None:
    """Return the word and character error rates of a card's int8 network on a set."""
    for result in card.get("results", []):
        of_set = Path(result["manifest"]).stem == manifest
        greedy = result["decoder"] == "greedy"
        with_scorer = "gram" in result["decoder"]
        if of_set and result["network"] == "int8" and (with_scorer if scorer else greedy):
            return result["wer"], result["cer"]
    return None


def _order(card: Mapping[str, Any]) -> tuple[float, float]:
    scorer, greedy = (_rates(card, "dev-clean", kind) for kind in (1, 0))
    worst = 2.0  # of those that were not measured so
    return (scorer[0] if scorer else worst, greedy[0] if greedy else worst)


def _percent(rates: tuple[float, float] | None) -> str:
    return f"{rates[0] * 100:.2f} / {rates[1] * 100:.2f}" if rates else ""


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    main()
