"""Dataclasses from TOML tables, key by key."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from plainspeech.errors import PlainspeechError, nearest


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
        PlainspeechError: a key is unknown (the nearest is suggested), is missing, or has a value
            of the wrong type.
    """
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
    for key in table:
        if key not in known:
            raise PlainspeechError(f"{where}: there is no key {key!r}; {nearest(key, known)}")
    for key, field in known.items():
        if key not in table and field.default is field.default_factory is MISSING:
            raise PlainspeechError(f"{where}: the key {key!r} is missing")
    kinds = get_type_hints(kind)
    return kind(
        **{
            key: _value(kinds[key], value, folder, f"{where}: {key}")
            for key, value in table.items()
        }
    )


def _value(kind: Any, value: Any, folder: Path, where: str) -> Any:
    """Return ``value`` as the type ``kind``, or say that it is of another."""
    if get_origin(kind) in (Union, types.UnionType):
        # The only such type is "section or None"; TOML has no null, so false stands for it.
        return None if value is False else _value(get_args(kind)[0], value, folder, where)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return section(kind, value, folder, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_value(get_args(kind)[0], item, folder, where) for item in value)
    if kind is Path and isinstance(value, str):
        return folder / Path(value).expanduser()
    if kind is float and type(value) in (int, float):
        return float(value)
    # By its exact type: to Python, true is a whole number.
    if type(value) is (get_origin(kind) or kind):
        return value
    raise PlainspeechError(f"{where} is {value!r}, which is not of type {_name(kind)}")


def _name(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"list of {_name(get_args(kind)[0])}"
    names = {str: "string", Path: "path, a string", float: "number", int: "whole number"}
    return names.get(kind, "table")
