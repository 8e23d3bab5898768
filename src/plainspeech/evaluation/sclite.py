"""Files for NIST sclite, so that its scores can be set beside ours.

sclite looks for the alignment with the least weight, where a substitution weighs 4, a deletion or
an insertion 3; a word error rate by Levenshtein distance weighs each 1. Its total is therefore
never below ours, and above it only where words come right by chance: of "a b c d e" against
"d e x y z" it makes two words right and six errors (18) rather than five substitutions (20). With
random wrong letters in 13,500 words of LibriSpeech, at word error rates of 11, 26, 46, 71 and 92 %,
the totals of both differed by 0, 0, 0, 1 and 0 errors. How a total parts into substitutions,
deletions and insertions depends on which of the equally good alignments is taken; these numbers
differed by 0 to 1 % of the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainspeech.errors import DataError
from plainspeech.evaluation.error_rates import Pair
from plainspeech.files import write_atomically

_NOTATION = frozenset("{}()@*;")  # alternatives, optional words, comments


def write_trn(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write ``ref.trn`` and ``hyp.trn``; ``sclite -s -i spu_id -r ref.trn trn -h hyp.trn trn``.

    A line is an utterance: its words, and in parentheses its id, of which sclite takes what
    comes before the first hyphen or underscore as the speaker.

    Raises:
        DataError: an id or text is not what trn can hold, or the folder cannot be written.
    """
    identities = [_identity(pair) for pair in pairs]
    if len(set(identities)) < len(pairs):
        raise DataError("sclite: two utterances have the same id; make ids unique")
    references = [_line(pair.reference, who) for pair, who in zip(pairs, identities, strict=True)]
    hypotheses = [_line(pair.hypothesis, who) for pair, who in zip(pairs, identities, strict=True)]
    try:
        write_atomically(folder / "ref.trn", "".join(references).encode())
        write_atomically(folder / "hyp.trn", "".join(hypotheses).encode())
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}") from error


def _identity(pair: Pair) -> str:
    """Return the id of ``pair``, with its speaker in front where no speaker can be seen in it."""
    if "-" in pair.id or "_" in pair.id:
        return pair.id
    return f"{pair.speaker or 'unknown'}_{pair.id}"


def _line(text: str, identity: str) -> str:
    if _NOTATION & set(text + identity) or identity.split() != [identity]:
        raise DataError(
            f"sclite: utterance {identity} cannot be written: its id has a space, or it has one of "
            f"the characters that mean something to sclite: {' '.join(sorted(_NOTATION))}"
        )
    return f"{text} ({identity})\n"
