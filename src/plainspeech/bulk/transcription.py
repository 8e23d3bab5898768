"""What a worker does: a recording in, one row or the reason why there is none out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from plainspeech.artifact.listed_files import checksum
from plainspeech.artifact.record import digest_of
from plainspeech.audio.channels import Channels
from plainspeech.bulk import storage
from plainspeech.bulk.work import Item, Outcome
from plainspeech.errors import PlainspeechError
from plainspeech.files import shown
from plainspeech.lm.arpa import is_arpa
from plainspeech.lm.package import SCORER
from plainspeech.numbers import check_language, in_digits
from plainspeech.runtime.bundle import BUNDLE, Bundle, named_scorer
from plainspeech.runtime.decoders import NO_LANGUAGE_MODEL
from plainspeech.runtime.long_audio import join_parts
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.transcript import Transcript
from plainspeech.writers import transcript_values

_PAUSES = (1.0, 4.0)  # seconds before the second and third attempt to read
_PERMANENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


@dataclass(frozen=True)
class Settings:
    """All that the transcripts depend on besides the recordings.

    Attributes:
        model: a bundle.
        decoder: as in `plainspeech.runtime.recognizer.load_model`.
        language_model: likewise.
        precision: likewise.
        frequency_warps: likewise.
        hot_words: the weight of each phrase.
        channels: as in `plainspeech.runtime.recognizer.Recognizer.transcribe`.
        numbers: how they are written.
    """

    model: Path
    decoder: Literal["greedy", "beam"] | None = None
    language_model: str | None = None
    precision: Literal["int8", "float32"] | None = None
    frequency_warps: Sequence[float] | None = None
    hot_words: Mapping[str, float] = field(default_factory=dict)
    channels: Channels = "mixed"
    numbers: Literal["words", "digits"] = "words"

    def identity(self) -> dict[str, Any]:
        """Return what tells these settings from others, as JSON values: models by their hashes.

        Raises:
            ModelError: there is no such model, or it is damaged.
            LanguageModelError: likewise.
        """
        return {
            **asdict(self),
            "model": self.model_name(),
            "language_model": _language_model_identity(self.language_model),
        }

    def model_name(self) -> str:
        """Return the name of the model, and what tells it from others of that name.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        name = Bundle.load(self.model).card.get("name", self.model.name)
        return f"{name} {digest_of(self.model, BUNDLE)[:16]}"

    def load(self) -> Recognizer:
        """Load the model, with one thread.

        Raises:
            PlainspeechError: a setting is not valid or does not fit the model.
        """
        recognizer = load_model(
            self.model,
            threads=1,
            decoder=self.decoder,
            language_model=self.language_model,
            precision=self.precision,
            frequency_warps=self.frequency_warps,
        )
        recognizer.transcribe_waveforms([], self.hot_words)  # an invalid hot word is an error now
        if self.numbers == "digits":
            check_language(recognizer.bundle.card.get("language"))
        return recognizer


def _language_model_identity(name: str | None) -> str | None:
    if name in (None, NO_LANGUAGE_MODEL):
        return name
    path = named_scorer(str(name))
    return str(checksum(path, SCORER)["sha256"]) if is_arpa(path) else digest_of(path, SCORER)


class Transcriber:
    """Transcribes recordings, one at a time.

    Args:
        settings: of the model and the search.

    Raises:
        PlainspeechError: the model cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recognizer = settings.load()
        self._model = settings.model_name()
        self._used = 0.0  # seconds of the processor, at the outcome before

    def __call__(self, item: Item) -> Outcome:
        """Return the outcome of ``item``; what may pass is tried again after a pause."""
        result = self._attempt(item)
        for pause in _PAUSES:
            if isinstance(result, Transcript) or not may_pass(result):
                break
            time.sleep(pause)
            result = self._attempt(item)
        if isinstance(result, Exception):
            return self._outcome(item, error=_reason(result))
        head = {"id": item.id, "audio": shown(item.audio), "model": self._model}
        row = json.dumps({**head, **transcript_values(result)}, ensure_ascii=False)
        return self._outcome(item, row=row, seconds=result.duration)

    def _attempt(self, item: Item) -> Transcript | Exception:
        try:
            return self._transcript(item)
        except Exception as error:  # whatever it is, the other recordings are transcribed
            return error

    def _transcript(self, item: Item) -> Transcript:
        if not storage.is_url(item.audio):
            return self._transcript_of(item.audio, item.threads)
        with storage.opened(item.audio) as file:
            return self._transcript_of(file, item.threads)

    def _transcript_of(self, source: str | BinaryIO, threads: int) -> Transcript:
        parts = self._recognizer.transcribe_parts(
            source,
            hot_words=self._settings.hot_words or None,
            channels=self._settings.channels,
            threads=threads,
        )
        transcript = join_parts(parts)
        if self._settings.numbers == "digits":
            return replace(transcript, segments=tuple(map(in_digits, transcript.segments)))
        return transcript

    def _outcome(self, item: Item, **values: Any) -> Outcome:
        before, self._used = self._used, time.process_time()
        return Outcome(item.id, item.audio, **values, processor_seconds=self._used - before)


def may_pass(error: BaseException | None) -> bool:
    """Return whether what raised ``error`` may succeed later: a disk, network, memory failed.

    A recording that is missing or damaged stays so.
    """
    while error is not None:
        if isinstance(error, (OSError, MemoryError)):
            return not isinstance(error, _PERMANENT)
        error = error.__cause__
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, (PlainspeechError, storage.StorageError)):
        return str(error)
    return str(PlainspeechError(f"{type(error).__name__}: {error}"))  # on one line
