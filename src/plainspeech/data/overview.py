"""How much a corpus is, what is usual for as much, and what never occurs or counts in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from plainspeech.alphabet import Alphabet
from plainspeech.data.manifest import Utterance
from plainspeech.errors import counted

_SHOWN = 10
"""Words, or characters, that are listed."""

_USUAL = (
    (1, "too little to learn from; a minute is the least that 'plainspeech adapt' gains from"),
    (
        30,
        "enough for 'plainspeech adapt' to one voice, which took 9 to 21 points off the word error "
        "rate with ten minutes, or for a first model of another language that starts from the "
        "English one",
    ),
    (
        300,
        'enough to go on from the model that ships (initial = "bundled"); from random weights, '
        "a small model learns it by heart and little else",
    ),
    (
        3000,
        "enough to train from random weights: with 16 hours in English half of the words were "
        "wrong letter by letter, and a quarter with a language model",
    ),
)
"""Minutes below which it is so; docs/fine-tuning.md and docs/log.md have the measurements."""

_MOST = (
    "enough to train any preset from random weights: with 100 hours in English, the published "
    "system had 23.6 % of the words wrong"
)


def overview(
    names: Sequence[str], splits: Sequence[Sequence[Utterance]], alphabet: Alphabet
) -> Iterator[str]:
    """Yield lines about each manifest; the first is taken to be what is trained on.

    Args:
        names: of the manifests.
        splits: their utterances.
        alphabet: of the model.
    """
    for name, split in zip(names, splits, strict=True):
        yield f"{name}: {_amount(split)}"
    yield f"{names[0]} is {usual(_minutes(splits[0]))}"
    letters = set("".join(utterance.text for utterance in splits[0]))
    missing = "".join(symbol for symbol in alphabet.symbols if symbol not in letters)
    if missing:
        yield f"letters that never occur in {names[0]}: {missing!r}"
    known = set(_words(splits[0]))
    for name, split in list(zip(names, splits, strict=True))[1:]:
        words = _words(split)
        unknown = [word for word, _ in words.most_common() if word not in known]
        if unknown:
            more = ", ..." if len(unknown) > _SHOWN else ""
            yield (
                f"{len(unknown)} of the {len(words)} different words of {name} never occur in "
                f"{names[0]}: {', '.join(unknown[:_SHOWN])}{more}"
            )


def uncounted(name: str, texts: Sequence[str], alphabet: Alphabet, digits: bool = False) -> str:
    """Return a line about what was said and is dropped before texts are compared; or nothing.

    Args:
        name: of the manifest.
        texts: of its utterances, which may not have been prepared for ``alphabet``.
        alphabet: of the model.
        digits: whether digits are kept as they are.
    """
    lost = [
        {one for one in alphabet.lost(text) if not (digits and one.isdigit())} for text in texts
    ]
    characters = "".join(sorted(set().union(*lost)))
    if not characters:
        return ""
    more = " and others" if len(characters) > _SHOWN else ""
    return (
        f"{name}: {sum(map(bool, lost))} of {counted(len(lost), 'text')} have characters that the "
        f"model's alphabet lacks ({characters[:_SHOWN]!r}{more}): what was said there does not "
        f"count; spell it out ('plainspeech data prepare' names each)"
    )


def usual(minutes: float) -> str:
    """Return what is usual for a corpus of as many ``minutes``."""
    return next((result for limit, result in _USUAL if minutes < limit), _MOST)


def _amount(split: Sequence[Utterance]) -> str:
    speakers = {utterance.speaker for utterance in split} - {""}
    count = counted(len(speakers), "speaker") if speakers else "unknown speakers"
    return (
        f"{_minutes(split):.1f} min in {counted(len(split), 'recording')} of {count}, "
        f"{len(_words(split))} different words"
    )


def _minutes(split: Sequence[Utterance]) -> float:
    return sum(utterance.duration for utterance in split) / 60


def _words(split: Sequence[Utterance]) -> Counter[str]:
    return Counter(word for utterance in split for word in utterance.text.split())
