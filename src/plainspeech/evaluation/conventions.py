"""What counts as the same word: LibriSpeech's convention, and deviations from it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plainspeech.alphabet import APOSTROPHES, Alphabet
from plainspeech.errors import DataError, why_unreadable
from plainspeech.numbers import Numbers, comparable

_PUNCTUATION = '.,;:!?"“”„«»()[]{}…¡¿-–—'
_HYPHEN = re.compile(r"(?<=\w)[-–—](?=\w)")
_FIGURE = re.compile(r"[-$]*\w*\d(?:[\w.:,]*\w)?%?")
_NO_APOSTROPHES = dict.fromkeys(map(ord, APOSTROPHES))
_NAME = "LibriSpeech's"


@dataclass(frozen=True)
class Convention:
    """How texts are written before they are compared; reference and hypothesis alike.

    By default it is LibriSpeech's: lower case, no punctuation, apostrophes as letters, numbers and
    spellings as they were transcribed, and only characters of the model's alphabet.

    Attributes:
        case: whether upper and lower case differ.
        punctuation: whether punctuation marks count, as parts of the words that they stand at.
        apostrophes: whether they count; "its" and "it's" are one where they do not.
        variants: what is written instead of a word: another spelling, or the words of a number.
            The word is in lower case and without punctuation at its ends.
        numbers: "digits" where a number in words and in digits is the same, see
            `plainspeech.numbers.comparable`; of the texts' digits nothing else is dropped then.
    """

    case: bool = False
    punctuation: bool = False
    apostrophes: bool = True
    variants: Mapping[str, str] = field(default_factory=dict)
    numbers: Numbers = "words"

    @property
    def description(self) -> str:
        """In words, for the figures that it gave."""
        parts = [
            "case counts" if self.case else "",
            "punctuation counts" if self.punctuation else "",
            "" if self.apostrophes else "apostrophes do not count",
            f"variants of words: {len(self.variants)}" if self.variants else "",
            "numbers in digits" if self.numbers == "digits" else "",
        ]
        deviations = ", ".join(filter(None, parts))
        return f"{_NAME}, but {deviations}" if deviations else _NAME

    def reference(self, text: str, alphabet: Alphabet) -> str:
        """Return what was said as it is compared, single spaces between words.

        Args:
            text: as it was transcribed.
            alphabet: of the model, to which other characters are folded.
        """
        return alphabet.normalise(text) if self == LIBRISPEECH else self._written(text, alphabet)

    def hypothesis(self, text: str, alphabet: Alphabet) -> str:
        """Return what was recognised as it is compared; by LibriSpeech's convention, as it is."""
        return text if self == LIBRISPEECH else self._written(text, alphabet)

    def varied(self, text: str) -> str:
        """Return ``text`` with what is written instead of its words."""
        words = unicodedata.normalize("NFC", text).split()
        return " ".join(self.variants.get(_bare(word), word) for word in words)

    def _written(self, text: str, alphabet: Alphabet) -> str:
        varied = self.varied(text)
        if self.numbers == "digits":
            varied = comparable(varied if self.punctuation else _HYPHEN.sub(" ", varied))
        written = " ".join(self._word(word, alphabet) for word in varied.split())
        return " ".join(
            (written if self.apostrophes else written.translate(_NO_APOSTROPHES)).split()
        )

    def _word(self, word: str, alphabet: Alphabet) -> str:
        figure = _FIGURE.search(word) if self.numbers == "digits" else None
        if figure is None:
            return "".join(self._character(character, alphabet) for character in word)
        around = (word[: figure.start()], word[figure.end() :])
        before, after = ("".join(self._character(c, alphabet) for c in part) for part in around)
        return f"{before}{figure[0] if self.case else figure[0].lower()}{after}"

    def _character(self, character: str, alphabet: Alphabet) -> str:
        if self.punctuation and character in _PUNCTUATION:
            return character
        folded = alphabet.fold(character)
        return folded.upper() if self.case and character.isupper() else folded


LIBRISPEECH = Convention()


def read_variants(path: Path) -> dict[str, str]:
    """Read variants of words: a line is a word, and what is written instead of it.

    Empty lines, and those that begin with ``#``, are skipped. Letters and their accents are
    composed (Unicode's NFC), as those of texts are before they are compared.

    Raises:
        DataError: the file cannot be read, or a line has one word only.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {why_unreadable(error)}") from error
    found = {}
    for number, line in enumerate(unicodedata.normalize("NFC", text).splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            word, _, standard = " ".join(line.lower().split()).partition(" ")
            if not standard:
                raise DataError(
                    f"{path}, line {number}: must be a word and what is written instead of it"
                )
            found[_bare(word)] = standard
    return found


def _bare(word: str) -> str:
    return word.lower().strip(_PUNCTUATION)
