"""Model bundles: a network, its inputs and outputs, and its model card.

A bundle is a folder, or one zip of it:

- ``model.onnx``: the network in float32, as `plainspeech.runtime.network` describes it.
- ``model.int8.onnx``: the same with weights of eight bits. One of the two may be missing.
- ``streaming/``: either or both of these again, as a network for streaming; optional.
- ``scorer/``: a language model for the beam search, see `plainspeech.lm.package`; optional.
- ``pronunciations.txt``: how the scorer's words sound, where the network hears phones; optional.
- ``bundle.json``: format version, alphabet, feature settings (of the streaming network too), frame
  rate, frequency warps, settings of the beam search, model card, size and SHA-256 of every file,
  and a SHA-256 of all that.

Loading checks every hash and executes nothing: it reads JSON, and weights as ONNX holds them. No
file stays in memory: it is read again when it is used, and checked again unless it is in a folder
and was not written since (`plainspeech.verified_files`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainspeech.alphabet import Alphabet
from plainspeech.artifact.kind import Kind
from plainspeech.artifact.listed_files import NamedFiles, check_listed, checksums, read_listed
from plainspeech.artifact.reading import reading
from plainspeech.artifact.record import Record, read_record
from plainspeech.artifact.writing import write_folder
from plainspeech.decoding.calibration import Calibration
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import ConfigurationError, DataError, ModelError, nearest, wrong_type
from plainspeech.features import FeatureSettings
from plainspeech.pronunciations import (
    Pronunciations,
    WordsOnDemand,
    output_size,
    parse_pronunciations,
)
from plainspeech.runtime.frequency_warps import UNWARPED, FrequencyWarps

if TYPE_CHECKING:
    from plainspeech.lm.scorer import Scorer

BUNDLED = "bundled"
"""In place of a path: the model that the package ships; see `named_model`."""
_SHIPPED = "english-small"

FORMAT = 1
"""The version of the format that this package writes, and the only one that it reads."""

BUNDLE = Kind("model bundle", "bundle.json", ModelError, FORMAT)
NETWORK_FILES = {"int8": "model.int8.onnx", "float32": "model.onnx"}
"""The file of a network of each precision; of two, the first here is the one that is used."""
WEIGHTS_FILE = "weights.safetensors"
"""The file of the weights that training can start from."""
LEXICON_FILE = "pronunciations.txt"
"""The file of the words that can be found over phones, see `plainspeech.pronunciations`."""
SCORER_FOLDER = "scorer/"
STREAMING_FOLDER = "streaming/"

Networks = Mapping[str, bytes]
"""ONNX files by their precision, a key of `NETWORK_FILES`."""


Files = Mapping[str, bytes]
"""Contents of files by their names."""


@dataclass(frozen=True)
class StreamingPart:
    """The same model for streaming.

    Attributes:
        features: its inputs.
        networks: at least one.
    """

    features: FeatureSettings
    networks: Networks = field(repr=False)


@dataclass(frozen=True)
class Bundle:
    """A model with everything that is needed to use it.

    Attributes:
        origin: where it was loaded from, for messages.
        alphabet: of the model's outputs; the blank comes after it.
        features: the model's inputs.
        frame_seconds: from one output frame to the next.
        card: JSON: name, description, data, hours, licence, results and more.
        networks: at least one.
        decoding: settings of the beam search, tuned for this model with its scorer.
        scorer_files: the files of its scorer; empty if it has none.
        streaming_part: None if it has none, or if ``networks`` are for streaming themselves.
        weights: a checkpoint in float16 that training can start from, by the name of its file;
            empty if there is none.
        phones: that the network hears beside letters; empty for one of letters alone.
        lexicon: how words sound, by the name of its file; empty without phones.
        frequency_warps: with which each of its networks is run.
    """

    origin: Path
    alphabet: Alphabet
    features: FeatureSettings
    frame_seconds: float
    card: Mapping[str, Any]
    networks: Networks = field(repr=False)
    decoding: BeamSettings = field(default_factory=BeamSettings)
    scorer_files: Files = field(default_factory=dict, repr=False)
    streaming_part: StreamingPart | None = None
    weights: Files = field(default_factory=dict, repr=False)
    phones: tuple[str, ...] = ()
    lexicon: Files = field(default_factory=dict, repr=False)
    frequency_warps: FrequencyWarps = UNWARPED

    @property
    def outputs(self) -> int:
        """Columns of the network's output, see `output_sizes`."""
        return sum(self.output_sizes)

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Columns of each output: over the alphabet, then over phones if the network hears them."""
        return (self.alphabet.size, *((output_size(self.phones),) if self.phones else ()))

    @property
    def precision(self) -> str:
        """Of the network in use: int8 if there is one, which takes less than half the time."""
        return next(precision for precision in NETWORK_FILES if precision in self.networks)

    @property
    def network_description(self) -> str:
        """Precision of the network in use, and how it is run, in words."""
        return ", ".join(filter(None, (self.precision, self.frequency_warps.description)))

    @property
    def network(self) -> bytes:
        """The ONNX file in use."""
        return self.networks[self.precision]

    @property
    def streaming(self) -> Bundle | None:
        """The same model for streaming, with this one's scorer and settings."""
        part = self.streaming_part
        if part is None:
            return None
        return replace(self, features=part.features, networks=part.networks, streaming_part=None)

    def in_precision(self, precision: str) -> Bundle:
        """Return the bundle with one network for whole utterances, that of ``precision``.

        Raises:
            ConfigurationError: there is no such precision.
            ModelError: the bundle has no such network.
        """
        if not isinstance(precision, str) or precision not in NETWORK_FILES:
            raise ConfigurationError(
                f"unknown precision {precision!r}; {nearest(precision, NETWORK_FILES)}"
            )
        if precision not in self.networks:
            raise ModelError(
                f"{self.origin}: has no network in {precision}, only in {', '.join(self.networks)}"
            )
        return replace(self, networks=RenamedFiles({precision: precision}, self.networks))

    def with_frequency_warps(self, factors: object) -> Bundle:
        """Return the bundle with other warps; what was measured with those before is left out.

        Raises:
            ConfigurationError: they are not such factors, see `FrequencyWarps`.
        """
        warps = FrequencyWarps.of(factors)
        if warps == self.frequency_warps:
            return self
        card = {name: value for name, value in self.card.items() if name != "results"}
        return replace(self, frequency_warps=warps, card=card)

    @property
    def subsampling(self) -> int:
        """Feature frames for each output frame."""
        return round(1000 * self.frame_seconds / self.features.hop_ms)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Load the bundle ``path``, a folder or a zip.

        Raises:
            ConfigurationError: it is no path.
            ModelError: ``path`` is not a bundle, has another format version, or one of its files
                is missing or not the one that was written.
        """
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(wrong_type("path", path, "name a bundle by its path"))
        path = Path(path)
        with reading(path, BUNDLE) as read:
            record = read_record(read, path, BUNDLE)
            check_listed(read, record)  # a damaged file is an error now, not at its first use
        files = StoredFiles(record)
        networks = _networks(files)
        if not networks:
            raise ModelError(f"{record.where} does not list {' or '.join(NETWORK_FILES.values())}")
        return cls(
            origin=path,
            alphabet=_alphabet(record),
            features=_features(record.part("features")),
            frame_seconds=_frame_seconds(record),
            card=record.take("card", dict),
            networks=networks,
            weights=RenamedFiles({n: n for n in (WEIGHTS_FILE,) if n in files}, files),
            decoding=_decoding(record),
            scorer_files=_within(SCORER_FOLDER, files),
            streaming_part=_streaming_part(record, files),
            phones=_phones(record),
            frequency_warps=_frequency_warps(record),
            lexicon=RenamedFiles({n: n for n in (LEXICON_FILE,) if n in files}, files),
        )

    def pronunciations(self) -> Pronunciations | None:
        """Return how words sound, None for a model of letters alone.

        The file is parsed when one of its words is asked for, which raises a ModelError where it is
        no lexicon, or one of other phones.

        Other words are converted from letters, as the lexicon's are (`plainspeech.g2p`).

        Raises:
            ModelError: the lexicon is missing or damaged.
        """
        if not self.phones:
            return None
        from plainspeech.g2p.converter import with_converter

        if LEXICON_FILE not in self.lexicon:
            raise ModelError(f"{self.origin / LEXICON_FILE}: is missing: the network hears phones")
        digest = hashlib.sha256(self.lexicon[LEXICON_FILE]).hexdigest()
        lexicon = Pronunciations(self.phones, WordsOnDemand(digest, self._parsed_lexicon))
        return with_converter(lexicon)

    def _parsed_lexicon(self) -> Mapping[str, Sequence[str]]:
        origin = self.origin / LEXICON_FILE
        try:
            found = parse_pronunciations(self.lexicon[LEXICON_FILE], origin)
        except DataError as error:
            raise ModelError(str(error)) from error
        if found.phones != self.phones:
            raise ModelError(f"{origin}: has other phones than bundle.json")
        return found.words

    def scorer(self) -> Scorer | None:
        """Return the scorer of the bundle, None if it has none.

        Raises:
            LanguageModelError: it is damaged.
        """
        if not self.scorer_files:
            return None
        from plainspeech.lm.scorer import Scorer

        return Scorer.from_files(self.origin / SCORER_FOLDER, self.scorer_files)

    def write(self, folder: Path) -> None:
        """Write the bundle as ``folder``, whole or not at all; an older one there is replaced.

        Raises:
            ModelError: ``folder`` exists and is not a bundle, or cannot be written.
        """
        scorer = {SCORER_FOLDER + name: content for name, content in self.scorer_files.items()}
        files = {**_named(self.networks), **self.weights, **self.lexicon, **scorer}
        part = self.streaming_part
        if part is not None:
            files |= _named(part.networks, STREAMING_FOLDER)
        values = {
            "format": FORMAT,
            "alphabet": self.alphabet.text,
            **({"phones": list(self.phones)} if self.phones else {}),
            "features": asdict(self.features),
            **({"streaming": {"features": asdict(part.features)}} if part else {}),
            "frame_seconds": self.frame_seconds,
            "frequency_warps": list(self.frequency_warps.factors),
            "decoding": asdict(self.decoding),
            "card": dict(self.card),
            "files": checksums(files),
        }
        record = Record(folder, BUNDLE, values)
        write_folder(folder, {**files, BUNDLE.record: record.serialise()}, BUNDLE)


def named_model(path: str | Path | None, folder: Path = Path()) -> Path:
    """Return ``path``, or the model that the package ships where it is called so.

    Its names are ``bundled`` and ``english-small``. A file or folder that is there by such a name
    comes first.

    Args:
        path: of a bundle or checkpoint, as a user names it; None for the model that ships.
        folder: that the user's paths are relative to.

    Raises:
        ModelError: this copy of the package ships no model.
        ConfigurationError: it is no path.
    """
    if path is None:
        return bundled_model_path()
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(
            f"{path!r} is of type {type(path).__name__}; name a model or a scorer by its path"
        )
    path = Path(path)
    shipped = path in (folder / BUNDLED, folder / _SHIPPED) and not path.exists()
    return bundled_model_path() if shipped else path


def named_scorer(path: str | Path) -> Path:
    """Return ``path``, or the language model of the model that ships, see `named_model`.

    Raises:
        ModelError: this copy of the package ships no model.
    """
    model = named_model(path)
    return model if model == Path(path) else model / SCORER_FOLDER


def bundled_model_path() -> Path:
    """Return the path of the bundle that the package ships.

    Raises:
        ModelError: this copy of the package has none.
    """
    path = Path(__file__).resolve().parents[1] / "models" / _SHIPPED
    if not (path / BUNDLE.record).is_file():
        raise ModelError("this copy of plainspeech ships no model; name one (--model PATH)")
    return path


def _named(networks: Networks, folder: str = "") -> dict[str, bytes]:
    """Return ``networks`` by the names of their files."""
    return {folder + NETWORK_FILES[precision]: onnx for precision, onnx in networks.items()}


def _networks(files: Files, folder: str = "") -> Networks:
    """Return the networks among ``files`` that are in ``folder``."""
    names = {
        precision: folder + name
        for precision, name in NETWORK_FILES.items()
        if folder + name in files
    }
    return RenamedFiles(names, files)


def _within(folder: str, files: Files) -> Files:
    """Return the files in ``folder``, by their names in there."""
    names = {name.removeprefix(folder): name for name in files if name.startswith(folder)}
    return RenamedFiles(names, files)


def _streaming_part(record: Record, files: Files) -> StreamingPart | None:
    networks = _networks(files, STREAMING_FOLDER)
    if not networks:
        return None
    return StreamingPart(_features(record.part("streaming").part("features")), networks)


def _alphabet(record: Record) -> Alphabet:
    symbols = record.take("alphabet", str)
    with record.named():
        return Alphabet(tuple(symbols))


def _phones(record: Record) -> tuple[str, ...]:
    """Return the phones; a bundle of letters alone has none."""
    if "phones" not in record.values:
        return ()
    phones = record.take("phones", list)
    named = all(isinstance(phone, str) and phone for phone in phones)
    if not named or phones != sorted(set(phones)):
        raise ModelError(f"{record.where}: 'phones' must be names, sorted, each once")
    return tuple(phones)


def _frame_seconds(record: Record) -> float:
    seconds = record.number("frame_seconds")
    if not 1e-3 <= seconds <= 10:
        raise ModelError(f"{record.where}: 'frame_seconds' must be from 0.001 to 10")
    return seconds


def _frequency_warps(record: Record) -> FrequencyWarps:
    if "frequency_warps" not in record.values:  # bundles from before there were any
        return UNWARPED
    with record.named():
        return FrequencyWarps.of(record.take("frequency_warps", list))


def _decoding(record: Record) -> BeamSettings:
    if "decoding" not in record.values:  # bundles from before there was a beam search
        return BeamSettings()
    part = record.part("decoding")
    with part.named():
        # Bundles from before there were priors, or recurrent language models, have none.
        part = replace(part, values={"prior_weight": 0.0, "neural_weight": 0.0, **part.values})
        return BeamSettings(
            **_taken(part, BeamSettings()),
            log_priors=_log_priors(part),
            calibration=_calibration(part),
        )


def _log_priors(record: Record) -> tuple[float, ...] | None:
    if record.values.get("log_priors") is None:
        return None
    return tuple(record.take("log_priors", list))


def _calibration(record: Record) -> Calibration | None:
    if record.values.get("calibration") is None:
        return None
    part = record.part("calibration")
    # Bundles from before there was a weight for the utterance do not have it.
    names = [
        each.name
        for each in fields(Calibration)
        if each.default is MISSING or each.name in part.values
    ]
    return Calibration(**{name: part.number(name) for name in names})


def _features(record: Record) -> FeatureSettings:
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


class StoredFiles(NamedFiles):
    """The files that a record lists, in the folder or zip that the record is in.

    Each use checks size and hash, so that a file is the one that was written or an error.

    Args:
        record: lists them.
    """

    def __init__(self, record: Record) -> None:
        super().__init__(record.part("files").values)
        self._record = record

    def __getitem__(self, name: str) -> bytes:
        one = replace(self._record, values={"files": {name: self._listed[name]}})
        with reading(one.origin, one.kind) as read:
            return read_listed(read, one)[name]


class RenamedFiles(NamedFiles):
    """Some files by other names.

    Args:
        names: the old name of each by its new one.
        files: by their old names.
    """

    def __init__(self, names: Mapping[str, str], files: Files) -> None:
        super().__init__(names)
        self._files = files

    def __getitem__(self, name: str) -> bytes:
        return self._files[self._listed[name]]
