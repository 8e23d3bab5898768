"""What the record of a bundle says, checked and as objects."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from plainspeech.alphabet import Alphabet
from plainspeech.artifact.record import Record
from plainspeech.decoding.calibration import Calibration
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings


def alphabet(record: Record) -> Alphabet:
    """Return what the outputs mean."""
    symbols = record.take("alphabet", str)
    with record.named():
        return Alphabet(tuple(symbols))


def frame_seconds(record: Record) -> float:
    """Return the seconds from one output frame to the next."""
    seconds = record.number("frame_seconds")
    if not seconds > 0:
        raise PlainspeechError(f"{record.where}: 'frame_seconds' must be greater than zero")
    return seconds


def decoding(record: Record) -> BeamSettings:
    """Return the settings of the beam search."""
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


def feature_settings(record: Record) -> FeatureSettings:
    """Return the settings that ``record``, a part, is."""
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
