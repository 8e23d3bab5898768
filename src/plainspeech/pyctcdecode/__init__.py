"""The interface of pyctcdecode 0.5.0 over this package's beam search.

For programs that were written for pyctcdecode: the same names, parameters and results, so that
another import is all that changes. ``docs/coming-from.md`` lists what differs. New programs are
better off with `plainspeech.decoding.beam_search`, which has more to offer.

Example:
    >>> from plainspeech.pyctcdecode import build_ctcdecoder
    >>> decoder = build_ctcdecoder(labels, "model.arpa", alpha=0.5, beta=1.5)
    >>> decoder.decode(logits, hotwords=["plainspeech"])
"""

from __future__ import annotations

import sys

from plainspeech.errors import ConfigurationError
from plainspeech.pyctcdecode import alphabet, constants, decoder, language_model
from plainspeech.pyctcdecode.adapter import OutputBeam
from plainspeech.pyctcdecode.alphabet import Alphabet
from plainspeech.pyctcdecode.decoder import BeamSearchDecoderCTC, build_ctcdecoder
from plainspeech.pyctcdecode.language_model import LanguageModel

__all__ = [
    "Alphabet",
    "BeamSearchDecoderCTC",
    "LanguageModel",
    "OutputBeam",
    "build_ctcdecoder",
    "install_as_pyctcdecode",
]

_PARTS = (alphabet, constants, decoder, language_model)


def install_as_pyctcdecode() -> None:
    """Have ``import pyctcdecode`` find this package, in this process.

    For libraries that import pyctcdecode themselves, as transformers does. Call it before they do.

    Raises:
        ConfigurationError: another pyctcdecode has been imported already.
    """
    this = sys.modules[__name__]
    if sys.modules.get("pyctcdecode", this) is not this:
        raise ConfigurationError(
            "another pyctcdecode has been imported; call install_as_pyctcdecode before that"
        )
    sys.modules["pyctcdecode"] = this
    for part in _PARTS:
        sys.modules[part.__name__.removeprefix("plainspeech.")] = part
