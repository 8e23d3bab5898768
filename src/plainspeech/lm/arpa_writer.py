"""Writing of n-gram models in the ARPA format, whose logarithms are to base 10."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from plainspeech.errors import PlainspeechError
from plainspeech.files import replacing
from plainspeech.lm.arpa import LN10
from plainspeech.lm.levels import spelled
from plainspeech.lm.tables import Level


def write_arpa(path: Path, vocabulary: Sequence[str], levels: Sequence[Level]) -> None:
    """Write an ARPA file.

    Raises:
        PlainspeechError: it cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(_arpa_lines(vocabulary, levels))
    except OSError as error:
        raise PlainspeechError(f"{path}: cannot be written: {error.strerror}") from error


def _arpa_lines(vocabulary: Sequence[str], levels: Sequence[Level]) -> Iterator[str]:
    yield "\\data\\\n"
    for order, level in enumerate(levels, start=1):
        yield f"ngram {order}={len(level.words)}\n"
    for order, (level, ngrams) in enumerate(zip(levels, spelled(levels), strict=True), start=1):
        yield f"\n\\{order}-grams:\n"
        log10s = (level.probabilities.astype(float) / LN10).tolist()
        backoff_log10s = (level.backoffs.astype(float) / LN10).tolist()
        for log10, ids, backoff in zip(log10s, ngrams.tolist(), backoff_log10s, strict=True):
            text = " ".join([vocabulary[word] for word in ids])
            end = "\n" if order == len(levels) else f"\t{backoff:.7g}\n"
            yield f"{log10:.7g}\t{text}{end}"
    yield "\n\\end\\\n"
