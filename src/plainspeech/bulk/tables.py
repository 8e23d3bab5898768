"""Rows as Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plainspeech.errors import ConfigurationError, DataError, how_to_install
from plainspeech.files import replacing


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed; this needs the bulk extra: {how_to_install('bulk')}"
        ) from error
    return pyarrow


def check_installed() -> None:
    """Check, before long computations, that Parquet can be written.

    Raises:
        ConfigurationError: PyArrow is not installed.
    """
    _arrow()


def _schema() -> Any:
    arrow = _arrow()
    text, number = arrow.string(), arrow.float64()
    word = [("text", text), ("start", number), ("end", number), ("confidence", number)]
    segment = [
        ("start", number),
        ("end", number),
        ("channel", arrow.int32()),
        ("text", text),
        ("confidence", number),
        ("words", arrow.list_(arrow.struct(word))),
    ]
    return arrow.schema(
        [
            ("id", text),
            ("audio", text),
            ("model", text),
            ("text", text),
            ("duration", number),
            ("confidence", number),
            ("segments", arrow.list_(arrow.struct(segment))),
        ]
    )


def write_parquet(rows: Path, path: Path) -> None:
    """Write the JSON lines ``rows`` as Parquet, whole or not at all.

    Raises:
        DataError: ``rows`` is damaged.
        OSError: it cannot be written.
    """
    arrow = _arrow()
    try:
        with rows.open(encoding="utf-8") as lines:
            table = arrow.Table.from_pylist([json.loads(line) for line in lines], _schema())
    except (ValueError, arrow.ArrowException) as error:
        raise DataError(f"{rows}: is damaged: {error}; choose another --output") from error
    with replacing(path) as temporary:
        arrow.parquet.write_table(table, temporary, compression="zstd")


def read_done(path: Path) -> dict[str, str]:
    """Return the recording of each id in the Parquet file ``path``.

    Raises:
        DataError: it is damaged.
    """
    arrow = _arrow()
    try:
        columns = arrow.parquet.read_table(path, columns=["id", "audio"]).to_pydict()
    except (OSError, arrow.ArrowException) as error:
        raise DataError(
            f"{path}: is damaged: {error}; delete it, and it is made again from its JSON lines"
        ) from error
    return dict(zip(columns["id"], columns["audio"], strict=True))
