"""From a recipe on disk to a trained model: what ``plainspeech train`` does."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from plainspeech.alphabet import Alphabet, can_align
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.data.packed import read_packed
from plainspeech.errors import ConfigurationError, DataError
from plainspeech.features import output_frames
from plainspeech.g2p.converter import with_converter
from plainspeech.model.presets import Preset, have_same_weights, preset
from plainspeech.pronunciations import Pronunciations, read_pronunciations
from plainspeech.runtime.bundle import Bundle
from plainspeech.training.augmentation import played_length
from plainspeech.training.checkpoint import Checkpoint, load_weights, may_be_bundle
from plainspeech.training.loop import Trainer
from plainspeech.training.processes import ALONE, Processes
from plainspeech.training.recipe import Data, Recipe, Url
from plainspeech.training.transfer import kept_outputs


def prepare_run(
    recipe: Recipe, folder: Path, device: torch.device, processes: Processes = ALONE
) -> tuple[Trainer, list[str]]:
    """Read the data of ``recipe`` and make its trainer, ready to fit or to resume.

    Args:
        recipe: of the run.
        folder: of the run.
        device: where to compute.
        processes: that train together.

    Returns:
        The trainer; and a line for each utterance that is left out of training because CTC cannot
        align it at the slowest frame rate it may be played at, and for what the initial weights or
        the teacher know and the model does not learn, or the other way round.

    Raises:
        ConfigurationError: the initial weights are of another preset.
        DataError: a manifest or recording is missing, or a transcript cannot be written.
    """
    manifests, archives = _read_data(recipe.data)
    alphabet = recipe.symbols
    everything = [utterance for manifest in manifests.values() for utterance in manifest]
    _refuse_unusable(everything, alphabet, archives)
    train = [utterance for path in recipe.data.train for utterance in manifests[path]]
    dev = manifests[recipe.data.dev]
    chosen = preset(recipe.preset)
    fastest = max(recipe.augmentation.speeds) if recipe.augmentation else 1.0
    left_out = [u for u in train if not _alignable(u, alphabet, chosen, fastest)]
    names = {utterance.id for utterance in left_out}
    lines = [
        f"{u.origin}: {u.id} is left out: {len(u.text)} characters in {u.duration:g} s are more "
        f"than CTC can align"
        for u in left_out
    ]
    usable = [utterance for utterance in train if utterance.id not in names]
    if not usable:
        raise DataError(f"nothing is left to train on: {lines[0]}")
    lexicon = recipe.data.pronunciations
    pronunciations = read_pronunciations(lexicon) if lexicon else None
    digest = _digest([*usable, *dev], pronunciations)
    run = {"recipe": _plain(asdict(recipe)), "data": digest, "code": _revision()}
    run["hours"] = sum(u.duration for u in usable) / 3600
    initial = load_weights(recipe.initial) if recipe.initial else None
    if initial and recipe.initial:
        _refuse_another_preset(initial, recipe.initial, recipe.preset)
        run["initial"] = initial.digest()
        run["started_from"] = {"name": initial.run["recipe"]["name"], **initial.provenance()}
        lines += _new_outputs(recipe, initial.alphabet)
        same = initial.alphabet == alphabet
        if same and not lexicon and _hears_phones(recipe.initial, initial):
            lines.append(
                f"{recipe.initial} hears phones, over which it is searched; without "
                f"data.pronunciations the model hears letters alone"
            )
    if recipe.teacher:
        teacher = Bundle.load(recipe.teacher).in_precision("float32")
        run["teacher"] = hashlib.sha256(teacher.network).hexdigest()
        run["taught_by"] = str(teacher.card.get("name", "")) or recipe.teacher.name
        if teacher.phones and pronunciations and teacher.phones != pronunciations.phones:
            lines.append(
                f"{recipe.teacher} has other phones than {lexicon}: it teaches letters alone"
            )
    if lexicon and pronunciations:
        pronunciations = _completed(pronunciations, usable)
        run["phones"] = list(pronunciations.phones)
        lines += _without_pronunciations(usable, pronunciations, lexicon)
    trainer = Trainer(
        recipe,
        chosen,
        usable,
        dev,
        folder,
        run,
        device,
        initial,
        processes,
        pronunciations,
        archives,
    )
    return trainer, lines


def _completed(lexicon: Pronunciations, utterances: Sequence[Utterance]) -> Pronunciations:
    """Return ``lexicon`` with the words of ``utterances``, converted from letters to phones."""
    words = [word for utterance in utterances for word in utterance.text.split()]
    completed = with_converter(lexicon).completed(words)
    return replace(completed, converter=None)


def _without_pronunciations(
    utterances: Sequence[Utterance], pronunciations: Pronunciations, path: Path
) -> list[str]:
    """Return a line if some utterances teach no phones."""
    missing = [
        (utterance, word)
        for utterance in utterances
        for word in utterance.text.split()
        if word not in pronunciations.words
    ]
    if not missing:
        return []
    first, word = missing[0]
    count = len({utterance.id for utterance, _ in missing})
    return [
        f"{path}: {count:,} of {len(utterances):,} utterances have words without a pronunciation "
        f"and teach letters alone; the first is {word!r} of {first.id}"
    ]


def _read_data(data: Data) -> tuple[dict[Path | Url, list[Utterance]], dict[str, str]]:
    """Return what each part of the data lists, and the archives of packed training data by id."""
    places = [place for place in data.train if isinstance(place, Url) or place.is_dir()]
    if not places:
        # A smoke test may validate on what it trains on: then it is one manifest, read once.
        return {path: read_manifest(Path(path)) for path in (*data.train, data.dev)}, {}
    if len(places) < len(data.train):
        raise ConfigurationError(
            f"data.train has both packed data ({places[0]}) and manifests; pack those too, with "
            f"'plainspeech data pack'"
        )
    packed = {place: read_packed(str(place)) for place in places}
    archives = {name: url for found in packed.values() for name, url in found.archives.items()}
    read = {place: found.utterances for place, found in packed.items()}
    return {**read, data.dev: read_manifest(data.dev)}, archives


def _hears_phones(path: Path, initial: Checkpoint) -> bool:
    """Return whether what a run begins from hears phones: a bundle needs a lexicon for that."""
    return bool(Bundle.load(path).phones if may_be_bundle(path) else initial.phones)


def _refuse_another_preset(initial: Checkpoint, path: Path, preset: str) -> None:
    """Stop where weights cannot be a preset's."""
    known = str(initial.run["recipe"].get("preset", preset))
    if not have_same_weights(known, preset):
        raise ConfigurationError(
            f"initial: {path} has weights of the preset {known!r}, with which {preset!r} cannot "
            f"begin; take that preset, or leave out initial"
        )


def _new_outputs(recipe: Recipe, known: Alphabet) -> list[str]:
    """Return a line of what the output layers learn anew, if the start writes otherwise."""
    if known == recipe.symbols:
        return []
    kept = kept_outputs(known, recipe.symbols)
    new = "".join(symbol for symbol in recipe.alphabet if symbol not in kept)
    return [
        f"{recipe.initial} writes another alphabet: the outputs of {kept!r} and the blank are "
        f"kept, those of {new!r} begin at random"
    ]


def _refuse_unusable(
    utterances: Sequence[Utterance], alphabet: Alphabet, archives: Mapping[str, str]
) -> None:
    """Stop before hours of work for what would fail in the middle of them."""
    faults = []
    seen: dict[str, Utterance] = {}
    for u in utterances:
        if u.id in seen:
            faults.append(f"{u.origin}: the id {u.id} is already in {seen[u.id].origin}")
        seen[u.id] = u
        if u.id not in archives and not u.audio.is_file():
            faults.append(f"{u.origin}: {u.id}: there is no file {u.audio}")
        elif foreign := alphabet.foreign(u.text):
            faults.append(
                f"{u.origin}: {u.id}: the text has {foreign!r}, not in the alphabet of the recipe"
            )
    if faults:
        more = f" (and {len(faults) - 1} more: see 'plainspeech data check')" * (len(faults) > 1)
        raise DataError(f"{faults[0]}{more}")


def _alignable(utterance: Utterance, alphabet: Alphabet, chosen: Preset, speed: float) -> bool:
    samples = round(utterance.duration * chosen.features.sample_rate)
    played = played_length(samples, speed)
    frames = output_frames(played, chosen.features, chosen.model.subsampling)
    return can_align(alphabet.encode(utterance.text), frames)


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON would give it back, so that it compares equal after a round trip.

    Paths lose their folder: a run may move together with its data, which has a hash of its own.
    TOML's dates become text.
    """
    return json.loads(
        json.dumps(value, default=lambda v: v.name if isinstance(v, Path) else str(v))
    )


def _digest(utterances: Sequence[Utterance], pronunciations: Pronunciations | None = None) -> str:
    """Return a hash of what is trained on: ids, texts, durations in order; and how words sound."""
    digest = hashlib.sha256()
    for u in utterances:
        digest.update(json.dumps([u.id, u.text, u.duration]).encode())
    if pronunciations:
        digest.update(json.dumps([pronunciations.phones, *pronunciations.words.items()]).encode())
    return digest.hexdigest()


def _revision() -> str:
    """Return the revision of the code where it runs from a git checkout, else nothing."""
    # A virtual environment may lie in the checkout of something else.
    if not _git("ls-files", Path(__file__).name):
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=12")


def _git(*arguments: str) -> str:
    """Return what git prints about the folder of this file; nothing where that fails."""
    try:
        result = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return result.stdout.strip()
