"""A model card as a page to read, in Markdown.

A card is what a bundle tells of its model, as JSON. Parts that are missing, or are not what this
package writes, are left out of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plainspeech.runtime.bundle import Bundle

_FACTS = {
    "language": "language",
    "licence": "licence",
    "preset": "preset",
    "parameters": "parameters",
    "hours_of_training_data": "hours of training data",
    "data": "training data",
    "teacher": "taught by",
    "exported": "exported",
}
_STEP = ("change", "epochs", "hours_of_audio", "hours_of_training", "teacher", "code")
_UNITS = {
    "epochs": "{} epochs",
    "hours_of_audio": "{} h of audio",
    "hours_of_training": "{} h of training",
    "teacher": "taught by {}",
    "code": "code {}",
}
_RESULT = ("data", "network", "decoder")


def card_page(bundle: Bundle) -> str:
    """Return the card of ``bundle`` as Markdown, with a line break at its end."""
    card = bundle.card
    parts = [
        [f"# {_text(card.get('name')) or 'A model without a name'}"],
        [_text(card.get("description"))],
        _table(("", ""), [(name, _text(card.get(key))) for key, name in _FACTS.items()]),
        _under("Measured", _results(card)),
        _under("Search", _search(bundle)),
        _under("How it came about", _history(card)),
        _under("How it was measured", _commands(card)),
    ]
    return "\n\n".join("\n".join(part) for part in parts if any(part)) + "\n"


def _under(heading: str, lines: list[str]) -> list[str]:
    return [f"## {heading}", "", *lines] if lines else []


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return a table of the rows that tell something."""
    told = [row for row in rows if any(row[1:])]
    if not told:
        return []
    lines = [headings, ("---",) * len(headings), *told]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def _results(card: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            *(_text(result.get(key)) for key in _RESULT),
            _percent(result.get("wer")),
            _interval(result.get("wer_interval")),
            _percent(result.get("cer")),
        )
        for result in results_of(card)
    ]
    return _table(("data", "network", "decoder", "WER", "95 % interval", "CER"), rows)


def _search(bundle: Bundle) -> list[str]:
    settings = bundle.decoding
    share = settings.neural_weight
    recurrent = f"the recurrent model's share {share:g}, " if share else ""
    weights = [
        f"alpha {settings.alpha:g}, beta {settings.beta:g}, {recurrent}unknown words "
        f"{settings.unknown_word_penalty:g} nats, priors to the power {settings.prior_weight:g}, "
        f"beam {settings.beam_width}, threshold {settings.beam_threshold:g} nats."
    ]
    tuning = bundle.card.get("tuning")
    if isinstance(tuning, Mapping) and isinstance(tuning.get("manifest"), str):
        weights.append(
            f"Tuned on {_text(tuning['manifest'])}, {_text(tuning.get('utterances')) or 'unknown'} "
            f"utterances."
        )
    return weights if bundle.scorer_files else []


def _history(card: Mapping[str, Any]) -> list[str]:
    told: set[str] = set()
    lines = list(_ancestry(card, told=told))
    streaming = card.get("streaming")
    if isinstance(streaming, Mapping):
        name = ", ".join(filter(None, ("the streaming network", _text(streaming.get("name")))))
        lines += _ancestry({"started_from": {**streaming, "name": name}}, told=told)
    return lines


def _ancestry(
    card: Mapping[str, Any], depth: int = 0, told: set[str] | None = None
) -> Iterator[str]:
    """Yield a line for each run that the model descends from, each once."""
    told = set() if told is None else told
    for parent in _parents(card):
        facts = (_fact(key, parent[key]) for key in _STEP if _text(parent.get(key)))
        share = _text(parent.get("share"))
        name = _text(parent.get("name")) or ("a combination" if _parents(parent) else "a run")
        line = f"{share + ' of ' if share else ''}**{name}**"
        line = ": ".join(filter(None, (line, ", ".join(facts))))
        key = repr({**parent, "share": None})
        if key in told:
            yield f"{'  ' * depth}- {line}, as above"
            continue
        told.add(key)
        yield f"{'  ' * depth}- {line}"
        yield from _ancestry(parent, depth + 1, told)


def _fact(key: str, value: Any) -> str:
    if key == "epochs" and value == 1:
        return "1 epoch"
    return _UNITS.get(key, "{}").format(_text(value))


def _parents(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the runs that were combined to a model, or the one that it started from."""
    start = card.get("started_from")
    return [
        *_mappings(card.get("combination_of")),
        *([start] if isinstance(start, Mapping) else []),
    ]


def _commands(card: Mapping[str, Any]) -> list[str]:
    commands = (
        f"- {_text(result.get('date'))[:10]}: `{_text(result.get('command'))}`"
        for result in results_of(card)
        if _text(result.get("command"))
    )
    return list(dict.fromkeys(commands))


def results_of(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of evaluations on ``card``; people write in it, so others are left out."""
    return _mappings(card.get("results"))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return a string or a number as one line; anything else is left out."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).split())


def _percent(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{100 * value:.2f} %"


def _interval(value: Any) -> str:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_percent, value)):
        return ""
    return f"{_percent(value[0]).removesuffix(' %')} to {_percent(value[1])}"
