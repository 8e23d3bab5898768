"""What a folder or zip of files is: a model bundle, or a scorer."""

from __future__ import annotations

from dataclasses import dataclass

from plainspeech.errors import PlainspeechError


@dataclass(frozen=True)
class Kind:
    """A kind of artifact: a model bundle or a scorer.

    Attributes:
        name: for messages.
        record: the JSON file that every such folder has, see `plainspeech.artifact`.
        error: the class of the errors about it.
        version: of the format, which the record states; None where it states none.
    """

    name: str
    record: str
    error: type[PlainspeechError]
    version: int | None = None
