"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

BUNDLED = "bundled"
"""In place of the path of a model: the English one that comes with the package."""

ModelOption = Annotated[
    Path | None,
    typer.Option(help="Model bundle, folder or zip; the English model by default."),
]
# ``parser=str``: load_model refuses other names, in one line that tells the nearest.
DecoderOption = Annotated[
    Literal["greedy", "beam"] | None,
    typer.Option(
        parser=str,
        metavar="NAME",
        help="greedy or beam; the beam search where there is a language model, if not given.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    Literal["int8", "float32"] | None,
    typer.Option(
        parser=str,
        metavar="NAME",
        help="int8 or float32, of the network; int8 where the model has it, if not given.",
        show_default=False,
    ),
]
LanguageModelOption = Annotated[
    str | None,
    typer.Option(
        help="A scorer in place of the model's own: its folder or zip, or an ARPA file; "
        "none for none.",
        show_default=False,
    ),
]
HotWordOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A word or phrase to expect and its weight: 'plain speech:8'. Can be repeated.",
        show_default=False,
    ),
]
HotWordsOption = Annotated[
    Path | None,
    typer.Option(help="A file of hot words, one a line.", show_default=False),
]
