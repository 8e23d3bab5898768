"""Recipes: a training run in one readable TOML file."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from plainspeech.data.augment import Augmentation
from plainspeech.errors import PlainspeechError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Data:
    """What to train on.

    Attributes:
        train: manifests, relative to the recipe.
        dev: the manifest that selects the best weights; never a test set.
        batch_seconds: seconds of audio in a batch, padding included.
        cache_gb: memory for computed features, in GB.
        threads: that read audio and compute features.
    """

    train: tuple[Path, ...]
    dev: Path
    batch_seconds: float = 160.0
    cache_gb: float = 4.0
    threads: int = 2


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
    precision: str = "auto"


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    Attributes:
        name: of the run and of the bundle it makes.
        preset: of the model.
        seed: of every random draw.
        initial: a checkpoint whose averaged weights to start from, to go on with other data or
            settings; random weights without it.
        checkpoint_minutes: at most this much work is lost when a run is killed.
        card: what the bundle says of its model beside what training itself knows: description,
            data, licence.
    """

    name: str
    preset: str
    data: Data
    optimisation: Optimisation
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    seed: int = 1
    checkpoint_minutes: float = 5.0
    initial: Path | None = None
    card: dict[str, Any] = field(default_factory=dict)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; its paths are taken relative to its folder.

    Raises:
        PlainspeechError: the file is not TOML, a key is unknown (the nearest is suggested), is
            missing, or has a value of the wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlainspeechError(f"{path}: cannot read the recipe: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise PlainspeechError(f"{path}: not TOML: {error}") from error
    return parse_recipe(table, path.parent, str(path))


def parse_recipe(table: Mapping[str, Any], folder: Path, where: str) -> Recipe:
    """Return the recipe in ``table``; see `read_recipe`."""
    recipe: Recipe = _section(Recipe, table, folder, where)
    _check(recipe, where)
    return recipe


def _check(recipe: Recipe, where: str) -> None:
    positive = {
        "data.batch_seconds": recipe.data.batch_seconds,
        "data.threads": recipe.data.threads,
        "optimisation.epochs": recipe.optimisation.epochs,
        "optimisation.learning_rate": recipe.optimisation.learning_rate,
        "optimisation.clip_norm": recipe.optimisation.clip_norm,
    }
    for key, value in positive.items():
        if value <= 0:
            raise PlainspeechError(f"{where}: {key} is {value}; it must be above 0")
    if recipe.optimisation.precision not in ("auto", "bf16", "fp32"):
        raise PlainspeechError(f"{where}: optimisation.precision can be 'auto', 'bf16' or 'fp32'")
    if not recipe.data.train:
        raise PlainspeechError(f"{where}: data.train names no manifest")


def _section(kind: type[Any], table: Mapping[str, Any], folder: Path, where: str) -> Any:
    """Build the dataclass ``kind`` from ``table``, key by key."""
    known = {f.name: f for f in fields(kind)}
    types_of = get_type_hints(kind)
    for key in table:
        if key not in known:
            raise PlainspeechError(f"{where}: there is no key {key!r}; {nearest(key, known)}")
    values = {
        key: _value(types_of[key], value, folder, f"{where}: {key}") for key, value in table.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise PlainspeechError(f"{where}: {str(error).split('() ')[-1]}") from error


def _value(kind: Any, value: Any, folder: Path, where: str) -> Any:
    """Return ``value`` as the type ``kind``, or say that it is of another."""
    if get_origin(kind) in (Union, types.UnionType):
        # The only such type is "section or None"; TOML has no null, so false stands for it.
        return None if value is False else _value(get_args(kind)[0], value, folder, where)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return _section(kind, value, folder, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_value(get_args(kind)[0], item, folder, where) for item in value)
    if kind is Path and isinstance(value, str):
        return folder / Path(value).expanduser()
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if get_origin(kind) is dict and isinstance(value, dict):
        return value
    if isinstance(kind, type) and isinstance(value, kind) and type(value) is kind:
        return value
    name = getattr(kind, "__name__", str(kind))
    raise PlainspeechError(f"{where} is {value!r}, which is not of type {name}")
