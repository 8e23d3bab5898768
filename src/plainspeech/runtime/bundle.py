"""Model bundles: a network, what it takes and writes, and what is known of it.

A bundle is a folder, or one zip of it:

- ``model.onnx``: the network; `plainspeech.runtime.network` says what it takes and gives.
- ``scorer/``: a language model for the beam search, see `plainspeech.lm.package`; optional.
- ``bundle.json``: format version, alphabet, feature settings, frame rate, settings of the beam
  search, model card, size and SHA-256 of every file, and a SHA-256 of all that.

Loading checks every hash and runs nothing: JSON, and weights as ONNX holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainspeech.alphabet import Alphabet
from plainspeech.artifact.contents import listing, read_listed
from plainspeech.artifact.record import LARGEST_RECORD, Record
from plainspeech.artifact.storage import Kind, reading, write_folder
from plainspeech.decoding.confidence import Calibration
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings

if TYPE_CHECKING:
    from plainspeech.lm.scorer import Scorer

FORMAT = 1
"""The version of the format that this package writes, and the only one that it reads."""

BUNDLE = Kind("model bundle", "bundle.json")
MODEL = "model.onnx"
SCORER_FOLDER = "scorer/"


@dataclass(frozen=True)
class Bundle:
    """A model and what it takes to use it.

    Attributes:
        origin: where it was loaded from, for messages.
        alphabet: what the model's outputs mean; the blank comes after it.
        features: what the model's inputs are.
        frame_seconds: from one output frame to the next.
        card: JSON: name, description, data, hours, licence, results and whatever else is known.
        model: the bytes of ``model.onnx``.
        decoding: settings of the beam search, tuned for this model with its scorer.
        scorer_files: the files of its scorer by their names; none where it comes without.
    """

    origin: Path
    alphabet: Alphabet
    features: FeatureSettings
    frame_seconds: float
    card: Mapping[str, Any]
    model: bytes = field(repr=False)
    decoding: BeamSettings = field(default_factory=BeamSettings)
    scorer_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def subsampling(self) -> int:
        """Feature frames for each output frame."""
        return round(1000 * self.frame_seconds / self.features.hop_ms)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Load the bundle that ``path``, a folder or a zip, is.

        Raises:
            PlainspeechError: ``path`` is no bundle, has another format version, or a file of it
                is missing or not the one that was written.
        """
        path = Path(path)
        with reading(path, BUNDLE) as read:
            record = Record.parse(path, BUNDLE.manifest, read(BUNDLE.manifest, LARGEST_RECORD + 1))
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
            decoding=_decoding(record),
            scorer_files={
                name.removeprefix(SCORER_FOLDER): content
                for name, content in files.items()
                if name.startswith(SCORER_FOLDER)
            },
        )

    def scorer(self) -> Scorer | None:
        """Return the scorer that the bundle comes with, None where it has none.

        Raises:
            PlainspeechError: it is damaged.
        """
        if not self.scorer_files:
            return None
        from plainspeech.lm.scorer import Scorer

        return Scorer.from_files(self.origin / SCORER_FOLDER, self.scorer_files)

    def write(self, folder: Path) -> None:
        """Write the bundle as ``folder``, whole or not at all; one that is there is replaced.

        Raises:
            PlainspeechError: ``folder`` is something else than a bundle, or cannot be written.
        """
        scorer = {SCORER_FOLDER + name: content for name, content in self.scorer_files.items()}
        files = {MODEL: self.model, **scorer}
        values = {
            "format": FORMAT,
            "alphabet": "".join(self.alphabet.symbols),
            "features": asdict(self.features),
            "frame_seconds": self.frame_seconds,
            "decoding": asdict(self.decoding),
            "card": dict(self.card),
            "files": listing(files),
        }
        record = Record(folder, BUNDLE.manifest, values)
        write_folder(folder, {**files, BUNDLE.manifest: record.serialise()}, BUNDLE)


def bundled_model_path() -> Path:
    """Return the bundle that comes with the package.

    Raises:
        PlainspeechError: this copy of the package has none.
    """
    path = Path(__file__).resolve().parents[1] / "models" / "english-small"
    if not (path / BUNDLE.manifest).is_file():
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


def _decoding(record: Record) -> BeamSettings:
    if "decoding" not in record.values:  # as in bundles of before there was a beam search
        return BeamSettings()
    part = record.part("decoding")
    with part.named():
        return BeamSettings(**_taken(part, BeamSettings()), calibration=_calibration(part))


def _calibration(record: Record) -> Calibration | None:
    if record.values.get("calibration") is None:
        return None
    part = record.part("calibration")
    return Calibration(**{field.name: part.number(field.name) for field in fields(Calibration)})


def _feature_settings(record: Record) -> FeatureSettings:
    with record.named():
        return FeatureSettings(**_taken(record, FeatureSettings()))


def _taken(record: Record, defaults: FeatureSettings | BeamSettings) -> dict[str, Any]:
    """Return the values of ``record`` for the fields of ``defaults``, of the types there."""
    values = {setting.name: getattr(defaults, setting.name) for setting in fields(defaults)}
    kinds = {name: type(value) for name, value in values.items() if value is not None}
    return {
        name: record.number(name) if kind is float else record.take(name, kind)
        for name, kind in kinds.items()
    }
