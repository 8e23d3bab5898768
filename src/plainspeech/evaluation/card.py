"""What an evaluation measured, on the card of the model that it measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from plainspeech.errors import DataError
from plainspeech.runtime.bundle import Bundle

_KEPT = ("manifest", "network", "decoder", "command", "date")

_TELLING = ("data", "network", "decoder")


def record_result(folder: Path, results: Path, data: str) -> dict[str, Any]:
    """Put the figures of an evaluation on a model's card, in the place of earlier ones alike.

    Args:
        folder: the model bundle; a zip has to be unpacked first.
        results: what ``plainspeech evaluate --json`` wrote of this model.
        data: what the figures are on, in words, such as ``"dev-clean"``; with the network and the
            decoder, it tells which earlier result this one replaces.

    Returns:
        The new entry of the card's ``results``.

    Raises:
        DataError: the bundle or the results cannot be read, or the results are of another
            model.
    """
    bundle = Bundle.load(folder)
    result = {"data": data, **_figures(results, str(bundle.card.get("name", "")))}
    others = [
        earlier
        for earlier in bundle.card.get("results", [])
        if any(earlier.get(key) != result[key] for key in _TELLING)
    ]
    card = {**bundle.card, "results": [*others, result]}
    replace(bundle, card=card).write(folder)
    return result


def _figures(path: Path, model: str) -> dict[str, Any]:
    """Return what a card tells of an evaluation."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["model"]["name"] != model:
            raise DataError(
                f"{path}: measures the model {found['model']['name']!r}, the bundle is {model!r}"
            )
        return {
            **{key: found[key] for key in _KEPT},
            "hours": round(found["audio_seconds"] / 3600, 2),
            "words": found["words"]["reference_length"],
            "wer": found["words"]["rate"],
            "wer_interval": [found["words"]["interval"][key] for key in ("low", "high")],
            "cer": found["characters"]["rate"],
        }
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not what 'plainspeech evaluate --json' writes") from error
