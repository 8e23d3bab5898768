"""Pronunciations of the words that a lexicon lacks, by what is learned from those it has."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plainspeech.errors import DataError
from plainspeech.lm.table_cache import TABLES, Arrays, cached_arrays
from plainspeech.pronunciations import Pronunciations

if TYPE_CHECKING:
    from plainspeech.g2p.joint_model import JointModel

FEWEST = 2_000
"""Words of a lexicon to learn from: of 2,000 of English, three in five are converted wrongly."""

_USUAL, _WIDE = (3, 0.2), (8, 0.01)
"""Most pronunciations of a word; those less probable than so many times the best are left out."""

_MANY = 1_000
"""Words that are worth being kept on disk, and a line in the log: that is more than a second."""

_REMEMBERED = 100_000  # words, as many as hot words of one call can have

_log = logging.getLogger("plainspeech")

_PACKAGE = Path(__file__).parent.parent
_CODE = ("g2p/*.py", "lm/kneser_ney.py")
"""Files that decide what is learned and found."""


class LexiconConverter:
    """Converts words from letters to phones, as the words of a lexicon are.

    It learns when it is first asked, in a few seconds, and what it has learned is kept on disk
    (`plainspeech.lm.table_cache`). Threads may share one.

    Args:
        lexicon: to learn from; one of fewer than `FEWEST` words teaches nothing.
    """

    def __init__(self, lexicon: Pronunciations) -> None:
        self._lexicon = lexicon
        self._known: dict[tuple[str, bool], Sequence[str]] = {}

    @cached_property
    def name(self) -> str:
        """Different for converters that may convert differently."""
        digest = hashlib.sha256(self._lexicon.sha256.encode())
        for pattern in _CODE:
            for file in sorted(_PACKAGE.glob(pattern)):
                digest.update(file.read_bytes())
        return digest.hexdigest()

    def convert(self, words: Sequence[str], wide: bool = False) -> list[Sequence[str]]:
        """Return pronunciations of each of ``words``, the most probable first.

        None of one with a letter that no word of the lexicon has.

        Args:
            words: that the lexicon lacks.
            wide: also hardly probable ones; for few words, since these are not kept.
        """
        if self._model is None:
            return [()] * len(words)
        if len(words) >= _MANY and not wide:
            return self._kept(words)
        known = self._known  # which another thread may replace
        if new := {word: None for word in words if (word, wide) not in known}:
            if len(known) + len(new) > _REMEMBERED:
                known = self._known = {}
                new = dict.fromkeys(words)
            found = self._converted([*new], wide)
            known.update(((word, wide), sounds) for word, sounds in zip(new, found, strict=True))
        return [known[word, wide] for word in words]

    def _converted(self, words: Sequence[str], wide: bool = False) -> list[tuple[str, ...]]:
        assert self._model is not None
        return self._model.pronounce(words, *(_WIDE if wide else _USUAL))

    def _kept(self, words: Sequence[str]) -> list[Sequence[str]]:
        """Return what `convert` does, from disk where an earlier process has saved it."""

        def make() -> Arrays:
            _log.warning(
                "converting %d words that the lexicon lacks from letters to phones, which happens "
                "once",
                len(words),
            )
            lines = map(" ".join, self._converted(words))
            return {"sounds": _points("\n".join(lines))}

        text = hashlib.sha256("\n".join(words).encode(errors="surrogatepass")).hexdigest()
        kept = cached_arrays(f"sounds {self.name} {text}", [], make, ["sounds"], 0)
        return [tuple(line.split(" ")) if line else () for line in _text(kept["sounds"])]

    @cached_property
    def _model(self) -> JointModel | None:
        from plainspeech.g2p.joint_model import JointModel
        from plainspeech.g2p.training import train
        from plainspeech.lm.tables import with_views

        if len(self._lexicon.words) < FEWEST:
            return None

        def make() -> Arrays:
            words = self._lexicon.words
            _log.warning("learning from the lexicon how words are said, which happens once")
            made = train([(word, each) for word, known in words.items() for each in known])
            tables = {name: getattr(made.tables, name) for name in TABLES}
            return {**tables, "units": _points("\n".join(map("\t".join, made.units)))}

        names = [*TABLES, "units"]
        try:
            kept = cached_arrays(f"letters to phones {self.name}", [], make, names, 0)
        except DataError:  # of a script whose letters are syllables, say
            return None
        cuts = (text.split("\t") for text in _text(kept["units"]))
        units = [(letters, sound) for letters, sound in cuts]
        return JointModel(units, with_views(**{name: kept[name] for name in TABLES}))


def with_converter(lexicon: Pronunciations) -> Pronunciations:
    """Return ``lexicon``, which converts the words that it lacks by what it has."""
    return replace(lexicon, converter=LexiconConverter(lexicon))


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _text(points: npt.NDArray[Any]) -> list[str]:
    return points.tobytes().decode("utf-32-le", "surrogatepass").split("\n")
