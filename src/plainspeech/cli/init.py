"""``plainspeech init``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from plainspeech.cli.options import AlphabetOption
from plainspeech.cli.output_files import write_text
from plainspeech.cli.terminal import needs, stderr
from plainspeech.errors import ConfigurationError


def init(
    recipe: Annotated[Path, typer.Argument(help="The recipe to write, such as mine.toml.")],
    train: Annotated[Path, typer.Option(help="Manifest to train on.")],
    dev: Annotated[Path, typer.Option(help="Manifest to measure on; it selects the weights.")],
    alphabet: AlphabetOption = "en",
) -> None:
    """Write a commented recipe for recordings of your own."""
    with needs("train"):
        from plainspeech.training.first_recipe import first_recipe
        from plainspeech.training.recipe import read_recipe
    from plainspeech.alphabet import find_alphabet
    from plainspeech.data.manifest import read_manifest

    if recipe.exists():
        raise ConfigurationError(f"{recipe}: is there already; name another file or delete it")
    symbols = find_alphabet(alphabet)
    manifests = {path: read_manifest(path) for path in (train, dev)}
    for path, utterances in manifests.items():
        if foreign := symbols.foreign("".join(utterance.text for utterance in utterances)):
            raise ConfigurationError(
                f"{path}: its texts have {foreign!r}, which the alphabet does not: name the one "
                f"that it was prepared for (--alphabet), or run 'plainspeech data prepare'"
            )
    seconds = sum(utterance.duration for utterance in manifests[train])
    folder = recipe.parent.resolve()

    def from_recipe(path: str | Path) -> str:
        return Path(os.path.relpath(path, folder)).as_posix()

    letters = from_recipe(alphabet) if alphabet.endswith(".txt") else alphabet
    names = recipe.name, recipe.stem, from_recipe(train), from_recipe(dev), letters
    text = first_recipe(*names, seconds, in_english=alphabet == "en")
    try:
        write_text(recipe, text)
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{recipe}: recipes are UTF-8, and its name or that of a manifest is not: rename it"
        ) from error
    read_recipe(recipe)
    stderr().print(f"{recipe}: train with 'plainspeech train {recipe}'")
