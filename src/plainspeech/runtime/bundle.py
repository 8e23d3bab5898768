"""Model bundles: a network, what it takes and writes, and what is known of it.

A bundle is a folder, or one zip of it:

- ``model.onnx``: the network in float32, as `plainspeech.runtime.network` describes it.
- ``model.int8.onnx``: the same with weights of eight bits. One of the two may be missing.
- ``streaming/``: either or both of these again, as a network that takes windows of audio that goes
  on; optional.
- ``scorer/``: a language model for the beam search, see `plainspeech.lm.package`; optional.
- ``bundle.json``: format version, alphabet, feature settings (of the streaming network too), frame
  rate, settings of the beam search, model card, size and SHA-256 of every file, and a SHA-256 of
  all that.

Loading checks every hash and runs nothing: JSON, and weights as ONNX holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainspeech.alphabet import Alphabet
from plainspeech.artifact.record import Record, checksums, read_listed, read_record
from plainspeech.artifact.storage import Kind, reading, write_folder
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import ModelError, PlainspeechError, nearest
from plainspeech.features import FeatureSettings
from plainspeech.runtime import bundle_record

if TYPE_CHECKING:
    from plainspeech.lm.scorer import Scorer

FORMAT = 1
"""The version of the format that this package writes, and the only one that it reads."""

BUNDLE = Kind("model bundle", "bundle.json", ModelError, FORMAT)
NETWORK_FILES = {"int8": "model.int8.onnx", "float32": "model.onnx"}
"""The file of a network of each precision; of two, the first here is the one that is used."""
SCORER_FOLDER = "scorer/"
STREAMING_FOLDER = "streaming/"

Networks = Mapping[str, bytes]
"""ONNX files by their precision, a key of `NETWORK_FILES`."""


@dataclass(frozen=True)
class StreamingPart:
    """The same model for audio that goes on.

    Attributes:
        features: what its inputs are.
        networks: that take windows.
    """

    features: FeatureSettings
    networks: Networks = field(repr=False)


@dataclass(frozen=True)
class Bundle:
    """A model and what it takes to use it.

    Attributes:
        origin: where it was loaded from, for messages.
        alphabet: what the model's outputs mean; the blank comes after it.
        features: what the model's inputs are.
        frame_seconds: from one output frame to the next.
        card: JSON: name, description, data, hours, licence, results and whatever else is known.
        networks: at least one.
        decoding: settings of the beam search, tuned for this model with its scorer.
        scorer_files: the files of its scorer by their names; none where it comes without.
        streaming_part: None where it comes without, or where ``networks`` take windows already.
    """

    origin: Path
    alphabet: Alphabet
    features: FeatureSettings
    frame_seconds: float
    card: Mapping[str, Any]
    networks: Networks = field(repr=False)
    decoding: BeamSettings = field(default_factory=BeamSettings)
    scorer_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    streaming_part: StreamingPart | None = None

    @property
    def precision(self) -> str:
        """Of the network in use: int8 where there is one, which takes less than half the time."""
        return next(precision for precision in NETWORK_FILES if precision in self.networks)

    @property
    def network(self) -> bytes:
        """The ONNX file that is used."""
        return self.networks[self.precision]

    @property
    def streaming(self) -> Bundle | None:
        """The same model for audio that goes on, with this one's scorer and settings."""
        part = self.streaming_part
        if part is None:
            return None
        return replace(self, features=part.features, networks=part.networks, streaming_part=None)

    def in_precision(self, precision: str) -> Bundle:
        """Return the bundle with one network for whole utterances, that of ``precision``.

        Raises:
            PlainspeechError: it has none.
        """
        if precision not in NETWORK_FILES:
            raise PlainspeechError(
                f"precision: {precision!r} is none; {nearest(precision, NETWORK_FILES)}"
            )
        if precision not in self.networks:
            raise PlainspeechError(
                f"{self.origin}: has no network in {precision}, only in {', '.join(self.networks)}"
            )
        return replace(self, networks={precision: self.networks[precision]})

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
            record = read_record(read, path, BUNDLE)
            files = read_listed(read, record)
        networks = _networks(files)
        if not networks:
            raise PlainspeechError(
                f"{record.where} does not list {' or '.join(NETWORK_FILES.values())}"
            )
        return cls(
            origin=path,
            alphabet=bundle_record.alphabet(record),
            features=bundle_record.feature_settings(record.part("features")),
            frame_seconds=bundle_record.frame_seconds(record),
            card=record.take("card", dict),
            networks=networks,
            decoding=bundle_record.decoding(record),
            scorer_files=_within(SCORER_FOLDER, files),
            streaming_part=_streaming_part(record, files),
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
        files = {**_named(self.networks), **scorer}
        part = self.streaming_part
        if part is not None:
            files |= _named(part.networks, STREAMING_FOLDER)
        values = {
            "format": FORMAT,
            "alphabet": "".join(self.alphabet.symbols),
            "features": asdict(self.features),
            **({"streaming": {"features": asdict(part.features)}} if part else {}),
            "frame_seconds": self.frame_seconds,
            "decoding": asdict(self.decoding),
            "card": dict(self.card),
            "files": checksums(files),
        }
        record = Record(folder, BUNDLE, values)
        write_folder(folder, {**files, BUNDLE.record: record.serialise()}, BUNDLE)


def bundled_model_path() -> Path:
    """Return the bundle that comes with the package.

    Raises:
        PlainspeechError: this copy of the package has none.
    """
    path = Path(__file__).resolve().parents[1] / "models" / "english-small"
    if not (path / BUNDLE.record).is_file():
        raise PlainspeechError(
            "this copy of plainspeech comes without a model; name one (--model PATH)"
        )
    return path


def _named(networks: Networks, folder: str = "") -> dict[str, bytes]:
    """Return ``networks`` by the names of their files."""
    return {folder + NETWORK_FILES[precision]: onnx for precision, onnx in networks.items()}


def _networks(files: Mapping[str, bytes]) -> Networks:
    """Return the networks among ``files``."""
    return {precision: files[name] for precision, name in NETWORK_FILES.items() if name in files}


def _within(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files in ``folder`` by their names in there."""
    return {
        name.removeprefix(folder): content
        for name, content in files.items()
        if name.startswith(folder)
    }


def _streaming_part(record: Record, files: Mapping[str, bytes]) -> StreamingPart | None:
    networks = _networks(_within(STREAMING_FOLDER, files))
    if not networks:
        return None
    return StreamingPart(
        bundle_record.feature_settings(record.part("streaming").part("features")), networks
    )
