"""Model bundles: a network, what it takes and writes, and what is known of it.

A bundle is a folder, or one zip of it:

- ``model.onnx``: the network; `plainspeech.runtime.recognizer` says what it takes and gives.
- ``bundle.json``: format version, alphabet, feature settings, frame rate, model card, size and
  SHA-256 of every file, and a SHA-256 of all that.

Loading checks every hash and runs nothing: JSON, and weights as ONNX holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from plainspeech.alphabet import Alphabet
from plainspeech.artifact.contents import listing, read_listed
from plainspeech.artifact.record import LARGEST_RECORD, Record
from plainspeech.artifact.storage import MANIFEST, reading, write_folder
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings

FORMAT = 1
"""The version of the format that this package writes, and the only one that it reads."""

MODEL = "model.onnx"


@dataclass(frozen=True)
class Bundle:
    """A model and what it takes to use it.

    Attributes:
        origin: where it was loaded from, for messages.
        alphabet: what the model's outputs mean; the blank comes after it.
        features: what the model's inputs are.
        frame_seconds: from one output frame to the next.
        card: name, description, data, hours, licence, results and whatever else is known.
        model: the bytes of ``model.onnx``.
    """

    origin: Path
    alphabet: Alphabet
    features: FeatureSettings
    frame_seconds: float
    card: Mapping[str, Any]
    model: bytes = field(repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Load the bundle that ``path``, a folder or a zip, is.

        Raises:
            PlainspeechError: ``path`` is no bundle, has another format version, or a file of it
                is missing or not the one that was written.
        """
        path = Path(path)
        with reading(path) as read:
            record = Record.parse(path, MANIFEST, read(MANIFEST, LARGEST_RECORD + 1))
            if record.take("format", int) != FORMAT:
                raise PlainspeechError(
                    f"{record.where}: has the format {record.values['format']}, this plainspeech "
                    f"reads {FORMAT}; use the plainspeech that it was made with"
                )
            record.check_digest()
            files = read_listed(read, record)
        if MODEL not in files:
            raise PlainspeechError(f"{record.where} does not list {MODEL}")
        return cls(
            origin=path,
            alphabet=_alphabet(record),
            features=_feature_settings(record.part("features")),
            frame_seconds=_frame_seconds(record),
            card=record.take("card", dict),
            model=files[MODEL],
        )


def write_bundle(
    folder: Path,
    model: bytes,
    alphabet: Alphabet,
    features: FeatureSettings,
    frame_seconds: float,
    card: Mapping[str, Any],
) -> None:
    """Write a bundle as ``folder``, whole or not at all; one that is there is replaced.

    Args:
        folder: which the bundle becomes.
        model: ONNX.
        alphabet: of the model's outputs.
        features: that the model takes.
        frame_seconds: from one output frame to the next.
        card: JSON: strings, numbers, lists and mappings.

    Raises:
        PlainspeechError: ``folder`` is something else than a bundle, or cannot be written.
    """
    values = {
        "format": FORMAT,
        "alphabet": "".join(alphabet.symbols),
        "features": asdict(features),
        "frame_seconds": frame_seconds,
        "card": dict(card),
        "files": listing({MODEL: model}),
    }
    record = Record(folder, MANIFEST, values)
    write_folder(folder, {MODEL: model, MANIFEST: record.serialise()})


def bundled_model_path() -> Path:
    """Return the bundle that comes with the package.

    Raises:
        PlainspeechError: this copy of the package has none.
    """
    path = Path(__file__).resolve().parents[1] / "models" / "english-small"
    if not (path / MANIFEST).is_file():
        raise PlainspeechError(
            "this copy of plainspeech comes without a model; name one (--model PATH)"
        )
    return path


def _alphabet(record: Record) -> Alphabet:
    symbols = record.take("alphabet", str)
    with record.named():
        return Alphabet(tuple(symbols))


def _frame_seconds(record: Record) -> float:
    seconds = record.number("frame_seconds")
    if not seconds > 0:
        raise PlainspeechError(f"{record.where}: 'frame_seconds' must be greater than zero")
    return seconds


def _feature_settings(record: Record) -> FeatureSettings:
    values: dict[str, Any] = {}
    for setting in fields(FeatureSettings):
        kind = type(setting.default)
        values[setting.name] = (
            record.number(setting.name) if kind is float else record.take(setting.name, kind)
        )
    with record.named():
        return FeatureSettings(**values)
