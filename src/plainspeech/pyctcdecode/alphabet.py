"""Labels of a CTC model, as pyctcdecode and transformers write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet as Symbols
from plainspeech.errors import ConfigurationError

UNK_TOKEN = "⁇"  # noqa: S105
BLANK_TOKEN_PTN = re.compile(r"[<\[]pad[>\]]$", re.IGNORECASE)
UNK_TOKEN_PTN = re.compile(r"[<\[]unk[>\]]$", re.IGNORECASE)

_SPECIAL = re.compile(r"[<\[].+[>\]]$")
_PIECE = re.compile(r"▁|##.")
_PRIVATE_USE = range(0xE000, 0xF900)  # of Unicode


class Alphabet:
    """Labels in the order of a model's outputs.

    A label is a character, or a token in brackets such as ``<s>``, which is written as it stands.

    Args:
        labels: with ``""`` for the blank, a space between words and ``UNK_TOKEN`` for the unknown.
        is_bpe: must be False: pieces of words are not for this decoder.

    Raises:
        ConfigurationError: labels are pieces of words, or there twice, or of several characters.
    """

    def __init__(self, labels: Sequence[str], is_bpe: bool = False) -> None:
        piece = next((label for label in labels if _PIECE.match(label)), None)
        if is_bpe or piece is not None:
            raise ConfigurationError(
                f"labels: {piece or 'is_bpe'!r} is for pieces of words (BPE); this decoder takes "
                f"models that write characters"
            )
        for label in labels:
            if labels.count(label) > 1:
                raise ConfigurationError(
                    f"labels: {label!r} is listed twice, as it is or as a synonym"
                )
            if len(label) > 1 and not _SPECIAL.match(label):
                raise ConfigurationError(
                    f"labels: {label!r} has several characters; this decoder takes single ones, "
                    f"and tokens in brackets such as '<s>'"
                )
        self._labels = list(labels)

    @classmethod
    def build_alphabet(cls, labels: Sequence[str]) -> Alphabet:
        """Return the alphabet of labels as models have them.

        ``<pad>`` and ``[PAD]`` in any case are the blank, and so is ``_`` where there is none of
        these; where none is listed, the blank comes last. ``|`` is the space unless there is one,
        and ``<unk>`` or ``[UNK]`` is written as ``UNK_TOKEN``.

        Raises:
            ConfigurationError: as the constructor.
        """
        found = ["" if BLANK_TOKEN_PTN.match(label) else label for label in labels]
        found = [UNK_TOKEN if UNK_TOKEN_PTN.match(label) else label for label in found]
        if "" not in found:
            found = ["" if label == "_" else label for label in found]
        if " " not in found:
            found = [" " if label == "|" else label for label in found]
        return cls(found if "" in found else [*found, ""])

    @property
    def labels(self) -> list[str]:
        """The label of each of a model's outputs; ``""`` is the blank."""
        return self._labels

    @property
    def is_bpe(self) -> bool:
        """False."""
        return False

    @cached_property
    def order(self) -> npt.NDArray[np.intp]:
        """The places of the labels in the order of `symbols`, that of the blank last."""
        blank = self._labels.index("")
        return np.array([*np.delete(np.arange(len(self._labels)), blank), blank])

    @cached_property
    def symbols(self) -> Symbols:
        """The labels without the blank, each as one character."""
        unused = (c for c in map(chr, _PRIVATE_USE) if c not in self._labels)
        return Symbols(tuple(self._symbols(unused)))

    def _symbols(self, unused: Iterator[str]) -> Iterator[str]:
        for label in filter(None, self._labels):
            yield label if len(label) == 1 else next(unused)

    def text(self, symbols: str) -> str:
        """Return what ``symbols`` stand for."""
        return symbols.translate(self._written)

    @cached_property
    def _written(self) -> dict[int, str]:
        labels = filter(None, self._labels)
        return {ord(s): label for s, label in zip(self.symbols.symbols, labels, strict=True)}

    def dumps(self) -> str:
        """Return the alphabet as JSON."""
        return json.dumps({"labels": self._labels, "is_bpe": False})

    @classmethod
    def loads(cls, text: str) -> Alphabet:
        """Return the alphabet that `dumps` made JSON of.

        Raises:
            ConfigurationError: it is none, or as the constructor.
        """
        try:
            found = json.loads(text)
            labels, is_bpe = [str(label) for label in found["labels"]], bool(found["is_bpe"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"the alphabet is not JSON with labels and is_bpe: {error}"
            ) from error
        return cls(labels, is_bpe)
