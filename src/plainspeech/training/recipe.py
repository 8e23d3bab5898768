"""Recipes: a training run in one readable TOML file."""

from __future__ import annotations

import errno
import os
import reprlib
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from plainspeech.alphabet import ENGLISH, LANGUAGES, Alphabet, find_alphabet
from plainspeech.errors import ConfigurationError, nearest, why_unreadable
from plainspeech.runtime.bundle import LEXICON_FILE, named_model
from plainspeech.training.augmentation import Augmentation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_LARGEST = 10**15
"""A whole number beyond this is a slip; floats hold all of those below exactly."""

_SHOWN = 200  # characters of an offending value in a message


class Url(str):
    """An address such as ``s3://bucket/folder``."""

    __slots__ = ()


@dataclass(frozen=True)
class Data:
    """What to train on.

    Attributes:
        train: manifests, relative to the recipe; one that is listed twice is trained on twice in
            an epoch. Or else folders, or URLs of object stores, of what ``data pack`` has packed,
            which are read one shard after the other.
        dev: the manifest that selects the best weights; never a test set.
        batch_seconds: seconds of audio in a batch, padding included.
        micro_batches: parts in which a batch is computed, one after the other, or side by side by
            as many processes; their gradients are added up before the weights change (gradient
            accumulation). They bound the memory that a batch takes, and change nothing in what is
            learned.
        pronunciations: a lexicon, see `plainspeech.pronunciations`: beside the letters of each
            transcript the model then learns its phones, as far as the lexicon has all its words.
            Or a bundle, as a folder, whose lexicon it is; ``"bundled"`` is the English model.
        cache_gb: memory for waveforms in each process, in GB; an hour takes 0.115.
        threads: of each process that read audio.
        shuffle_shards: of packed data, that are mixed; each of the ``micro_batches`` has as many.
    """

    train: tuple[Path | Url, ...]
    dev: Path
    batch_seconds: float = 160.0
    micro_batches: int = 1
    pronunciations: Path | None = None
    cache_gb: float = 4.0
    threads: int = 2
    shuffle_shards: int = 4


@dataclass(frozen=True)
class Optimisation:
    """How to train: AdamW (Loshchilov and Hutter, ICLR 2019) on the CTC loss.

    Attributes:
        epochs: passes over the training data.
        learning_rate: at the peak.
        warmup_epochs: the rate rises from zero over these, then falls to zero along a half cosine.
        weight_decay: of matrices and kernels; vectors (biases, norms) are left alone.
        clip_norm: the longest gradient, in the 2-norm over all weights.
        average_decay: of the exponential moving average of the weights, which is what is
            validated and exported.
        intermediate_weight: share of the intermediate CTC loss in the whole.
        consistency_weight: of the consistency between two augmentations of each utterance
            (CR-CTC; Yao et al., ICLR 2025); 0 takes one.
        crf_weight: of the competition between all texts, see `plainspeech.training.crf`, at the
            output that the search takes, over phones if the model learns them: 0 is CTC and 1
            CTC-CRF; a little below 1, some of CTC stays, which steadies it.
        pronunciation_weight: share of the phones in the whole, where ``data.pronunciations`` names
            a lexicon.
        distillation_weight: at the start, of the divergence from the recipe's teacher; it falls to
            zero by the last step, so that a student may surpass its teacher (annealing, as in Clark
            et al., ACL 2019).
        start_decay: of all weights towards those of ``initial``, beside the decay towards zero:
            what keeps a model that learns from little near to what it knew (L2-SP; Li, Grandvalet
            and Davoine, ICML 2018).
        validate_every: epochs from one measurement on dev to the next.
        patience: measurements in a row without a better character error rate on dev after which
            training ends; 0 goes on to the last epoch.
        precision: ``"bf16"`` computes in mixed precision, ``"fp32"`` does not, ``"auto"`` takes
            bf16 where the processor has instructions for it.
    """

    epochs: int
    learning_rate: float = 1.5e-3
    warmup_epochs: float = 2.0
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    average_decay: float = 0.998
    intermediate_weight: float = 0.3
    consistency_weight: float = 0.0
    crf_weight: float = 0.0
    pronunciation_weight: float = 0.5
    distillation_weight: float = 1.0
    start_decay: float = 0.0
    validate_every: int = 1
    patience: int = 0
    precision: str = "auto"


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    Attributes:
        name: of the run and of the bundle it makes.
        preset: of the model.
        alphabet: what the model writes: a language, a file of letters or the letters, see
            `find_alphabet`; once read, its symbols. A language also goes into the card.
        seed: of every random draw.
        initial: a checkpoint, whose averaged weights to start from, or a bundle; ``"bundled"`` is
            the model that the package ships. Random weights without it. Of another alphabet, what
            it knows of the symbols that both have is taken, and the others are learned anew.
        teacher: a bundle, or ``"bundled"``, whose output for each frame the model learns beside
            the transcripts, over phones too if both have the same; of any architecture with the
            preset's frame rate.
        change: what the run tries that the one before it did not, in a line, for the leaderboard.
        checkpoint_minutes: at most this much work is lost when a run is killed.
        card: what the bundle says of its model beside what training itself knows: description,
            data, licence.
    """

    name: str
    preset: str
    data: Data
    optimisation: Optimisation
    alphabet: str = ENGLISH.text
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    seed: int = 1
    initial: Path | None = None
    teacher: Path | None = None
    change: str = ""
    checkpoint_minutes: float = 5.0
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def symbols(self) -> Alphabet:
        """The alphabet as an object."""
        return Alphabet(tuple(self.alphabet))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; its paths are taken relative to its folder.

    Raises:
        ConfigurationError: the file is not TOML, a key is unknown (the nearest is suggested), is
            missing, or has a value of the wrong type or beyond reason.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = why_unreadable(error)
        raise ConfigurationError(f"{path}: cannot read the recipe: {reason}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: not a recipe: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {str(error)[:_SHOWN]}") from error
    except ValueError as error:  # what Python refuses to convert
        raise ConfigurationError(
            f"{path}: not a recipe: a number of thousands of digits"
        ) from error
    return parse_recipe(table, path.parent, str(path))


def parse_recipe(table: Mapping[str, Any], folder: Path, where: str) -> Recipe:
    """Return the recipe in ``table``; see `read_recipe`."""
    recipe: Recipe = section(Recipe, table, folder, where)
    _check(recipe, where)
    lexicon = recipe.data.pronunciations
    return replace(
        recipe,
        data=replace(recipe.data, pronunciations=lexicon and _lexicon_file(lexicon, folder)),
        **_written_with(table["alphabet"], recipe.card, folder, where)
        if "alphabet" in table
        else {},
        initial=recipe.initial and named_model(recipe.initial, folder),
        teacher=recipe.teacher and named_model(recipe.teacher, folder),
    )


def _lexicon_file(path: Path, folder: Path) -> Path:
    """Return the lexicon that ``path`` is, or that of the bundle ``path``."""
    found = named_model(path, folder)
    return found / LEXICON_FILE if os.path.isdir(found) else found  # noqa: PTH112  # no error


def completed_record(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as a checkpoint records it, with what older versions did not record."""
    return {
        "alphabet": ENGLISH.text,
        **recipe,
        "data": {
            "micro_batches": 1,
            "shuffle_shards": 4,
            "pronunciations": None,
            **recipe["data"],
        },
        "optimisation": {
            "crf_weight": Optimisation.crf_weight,
            "pronunciation_weight": Optimisation.pronunciation_weight,
            **recipe["optimisation"],
        },
    }


_FREE = ("checkpoint_minutes", "data.cache_gb", "data.threads")
"""Keys that change nothing in what is learned: a run resumes with other values of them, too."""


def first_change(before: Mapping[str, Any], now: Mapping[str, Any], section: str = "") -> str:
    """Return the first key of a recorded recipe with another value than before, and both values.

    Empty where a run that was begun with the one can go on with the other.

    Args:
        before: as `completed_record` returns it.
        now: a recipe as a checkpoint would record it.
        section: that both are of.
    """
    for key in dict.fromkeys((*now, *before)):
        old, new, name = before.get(key), now.get(key), f"{section}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if change := first_change(old, new, f"{name}."):
                return change
        elif old != new and name not in _FREE:
            return f"{name} was {reprlib.repr(old)} and is {reprlib.repr(new)}"
    return ""


def _written_with(name: str, card: Mapping[str, Any], folder: Path, where: str) -> dict[str, Any]:
    """Return the values of ``alphabet`` and ``card`` for an alphabet by its name."""
    try:
        symbols = find_alphabet(name, folder).text
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    language = {"language": name} if name in LANGUAGES else {}
    return {"alphabet": symbols, "card": {**language, **card}}


_RULES: dict[str, tuple[Callable[[float], bool], tuple[str, ...]]] = {
    "above 0": (
        lambda value: value > 0,
        (
            "data.batch_seconds",
            "data.micro_batches",
            "data.threads",
            "data.shuffle_shards",
            "optimisation.epochs",
            "optimisation.validate_every",
            "optimisation.learning_rate",
            "optimisation.clip_norm",
        ),
    ),
    "0 or more": (
        lambda value: value >= 0,
        (
            "seed",
            "checkpoint_minutes",
            "data.cache_gb",
            "optimisation.warmup_epochs",
            "optimisation.weight_decay",
            "optimisation.start_decay",
            "optimisation.patience",
            "augmentation.frequency_masks",
            "augmentation.frequency_mask_bins",
            "augmentation.time_masks_per_second",
            "augmentation.time_mask_seconds",
            "augmentation.silence_seconds",
            "optimisation.consistency_weight",
            "optimisation.distillation_weight",
        ),
    ),
    "0 or more and below 1": (
        lambda value: 0 <= value < 1,
        ("optimisation.average_decay", "augmentation.frequency_warp"),
    ),
    "from 0 to 1": (
        lambda value: 0 <= value <= 1,
        (
            "optimisation.intermediate_weight",
            "optimisation.crf_weight",
            "optimisation.pronunciation_weight",
            "augmentation.silence_share",
            "augmentation.room_share",
            "augmentation.noise_share",
            "augmentation.babble_share",
            "augmentation.telephone_share",
            "augmentation.band_share",
        ),
    ),
}


def _check(recipe: Recipe, where: str) -> None:
    for wanted, (holds, keys) in _RULES.items():
        for key in keys:
            value = _get(recipe, key)
            if value is not None and not (isfinite(value) and holds(value)):
                raise ConfigurationError(f"{where}: {key} is {value}; it must be {wanted}")
    if recipe.optimisation.precision not in ("auto", "bf16", "fp32"):
        raise ConfigurationError(f"{where}: optimisation.precision can be 'auto', 'bf16' or 'fp32'")
    if recipe.optimisation.start_decay and recipe.initial is None:
        raise ConfigurationError(f"{where}: optimisation.start_decay needs an initial model")
    if not recipe.data.train:
        raise ConfigurationError(f"{where}: data.train names no manifest")
    speeds = recipe.augmentation.speeds if recipe.augmentation else (1.0,)
    if not speeds or not all(0.5 <= speed <= 2 for speed in speeds):
        raise ConfigurationError(f"{where}: augmentation.speeds must be numbers from 0.5 to 2")
    if recipe.augmentation:
        snr = recipe.augmentation.snr_db
        if len(snr) != 2 or not all(map(isfinite, snr)) or snr[0] > snr[1]:
            raise ConfigurationError(
                f"{where}: augmentation.snr_db must be two numbers, the lower first"
            )
    elif recipe.optimisation.consistency_weight:
        raise ConfigurationError(
            f"{where}: optimisation.consistency_weight needs an [augmentation], else both views of "
            f"an utterance are the same"
        )


def _get(recipe: Recipe, key: str) -> Any:
    """Return the value of a dotted key; None where its section was switched off."""
    part: Any = recipe
    for name in key.split("."):
        part = None if part is None else getattr(part, name)
    return part


def section(kind: type[Any], table: Mapping[str, Any], folder: Path, where: str) -> Any:
    """Build the dataclass ``kind`` from ``table``.

    A field's type can be a dataclass (a section of its own) or one ``| None`` (which ``false``
    switches off), a string, a number, a path, a mapping, or a tuple of one of these.

    Args:
        kind: what to build.
        table: values by the names of the fields.
        folder: that relative paths start from.
        where: to name in messages.

    Raises:
        ConfigurationError: a key is unknown (the nearest is suggested), is missing, or has a value
            of the wrong type.
    """
    known: dict[str, Field[Any]] = {own.name: own for own in fields(kind)}
    for key in table:
        if key not in known:
            raise ConfigurationError(
                f"{where}: there is no key {reprlib.repr(key)}; {nearest(key[:_SHOWN], known)}"
            )
    for key, own in known.items():
        if key not in table and own.default is own.default_factory is MISSING:
            raise ConfigurationError(f"{where}: the key {key!r} is missing")
    kinds = get_type_hints(kind)
    return kind(
        **{
            key: _value(kinds[key], value, folder, f"{where}: {key}")
            for key, value in table.items()
        }
    )


def _value(kind: Any, value: Any, folder: Path, where: str) -> Any:
    """Return ``value`` as the type ``kind``, or say that it is of another."""
    if kind == Path | Url:
        address = isinstance(value, str) and "://" in value
        return Url(value) if address else _value(Path, value, folder, where)
    if get_origin(kind) in (Union, types.UnionType):
        # The only such type is "section or None"; TOML has no null, so false stands for it.
        return None if value is False else _value(get_args(kind)[0], value, folder, where)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return section(kind, value, folder, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_value(get_args(kind)[0], item, folder, where) for item in value)
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ConfigurationError(f"{where} is beyond {_LARGEST:.0e}")
    if kind is Path and isinstance(value, str) and "\0" not in value:
        path = folder / os.path.expanduser(value)  # noqa: PTH111  # Path's fails for no such user
        _refuse_too_long(path, where)
        return path
    if kind is float and type(value) in (int, float):
        return float(value)
    # By its exact type: to Python, true is a whole number.
    if type(value) is (get_origin(kind) or kind):
        return value
    raise ConfigurationError(
        f"{where} is {reprlib.repr(value)}, which is not of type {_name(kind)}"
    )


def _refuse_too_long(path: Path, where: str) -> None:
    """Stop at a path that no system has: whether it is a folder cannot even be asked."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigurationError(
                f"{where} is {reprlib.repr(str(path))}: {error.strerror}"
            ) from error


def _name(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"list of {_name(get_args(kind)[0])}"
    names = {
        str: "string",
        Path: "path, a string",
        Path | Url: "path, a string",
        float: "number",
        int: "whole number",
    }
    return names.get(kind, "table")
