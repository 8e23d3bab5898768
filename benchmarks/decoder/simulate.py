"""Make the simulated set of the decoder benchmarks: what a CTC model might give for sentences.

    python -m benchmarks.decoder.simulate TEXT DIR [--rest REST]

TEXT has a sentence a line, lower case, a to z, apostrophe and space. Drawn from it are a dev and a
test set: ``dev_posteriors.npz`` and ``posteriors.npz`` with ``logp`` (the log-probabilities of all
utterances in a row, the blank last), ``lens`` (the frames of each) and ``symbols``; and their
sentences, a line each, in ``dev_references.txt`` and ``references.txt``. What was not drawn goes to
REST, for the language model: no sentence of the sets may be in its text.

A character lasts a frame or two, a Poisson number of blanks parts it from the next (at least one
from its equal), so that there are 2.9 frames a character. Every symbol is far below the best (13
nats in the mean) but for one rival, mostly a character that sounds alike, whose distance is
normally distributed and is below zero for a few: greedy decoding gets about 7 % of the characters
wrong, and half of the frames are surer than 0.98.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from plainspeech import ENGLISH
from plainspeech.arrays import Array

Ints = npt.NDArray[np.intp]

FRAME_SECONDS = 0.025
"""From one frame to the next, by which 2.9 frames a character are 14 characters a second."""
SHORTEST, LONGEST = 40, 300
"""Characters of a sentence that may be drawn."""
TWO_FRAMES = 0.25
BLANKS = 1.6
FLOOR, FLOOR_DEVIATION = -13.5, 4.0
LEAD, LEAD_DEVIATION = 4.5, 2.9
"""Nats: of the right symbol over its rival."""
BLANK_RIVAL, ANY_RIVAL = 0.12, 0.12
ALIKE = ("aeiou", "bdpt", "gkcq", "mn", "fvw", "szxc", "lr", "iyj", "uw", "dt", "th", "' ")
"""Characters that are mistaken for one another more often than others."""


def main(
    text: Annotated[Path, typer.Argument(help="A sentence a line.")],
    folder: Annotated[Path, typer.Argument(help="To write to.")],
    dev: Annotated[int, typer.Option(help="Sentences of the dev set.")] = 60,
    test: Annotated[int, typer.Option(help="Sentences of the test set.")] = 100,
    rest: Annotated[Path | None, typer.Option(help="File for the other sentences.")] = None,
    sentences: Annotated[int | None, typer.Option(help="Read no more of the text.")] = None,
    seed: int = 1,
) -> None:
    """Write a simulated dev and test set."""
    random = np.random.default_rng(seed)
    with text.open(encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in islice(file, sentences)]
    usable = [
        place
        for place, line in enumerate(lines)
        if SHORTEST <= len(line) <= LONGEST and not ENGLISH.foreign(line)
    ]
    if len(usable) < dev + test:
        raise typer.BadParameter(f"{text} has {len(usable)} sentences that can be drawn")
    drawn = random.choice(usable, dev + test, replace=False).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, places in (("dev_", drawn[:dev]), ("", drawn[dev:])):
        write_set(folder, prefix, [lines[place] for place in places], random)
    if rest is not None:
        left = set(drawn)
        others = (line for place, line in enumerate(lines) if place not in left)
        rest.write_text("".join(f"{line}\n" for line in others), encoding="utf-8")


def write_set(folder: Path, prefix: str, sentences: list[str], random: np.random.Generator) -> None:
    """Write the files of a set whose names begin with ``prefix``."""
    rows = [simulated(sentence, random) for sentence in sentences]
    np.savez_compressed(
        folder / f"{prefix}posteriors.npz",
        logp=np.concatenate(rows),
        lens=np.array([len(one) for one in rows], np.int32),
        symbols=np.array([*ENGLISH.symbols, "<blank>"]),
    )
    lines = "".join(f"{sentence}\n" for sentence in sentences)
    (folder / f"{prefix}references.txt").write_text(lines, encoding="utf-8")


def simulated(sentence: str, random: np.random.Generator) -> Array:
    """Return log-probabilities, ``(frames, 29)``, that say ``sentence``, more or less."""
    path = alignment(ENGLISH.encode(sentence), random)
    changes = np.diff(path, prepend=-1) != 0
    token = np.cumsum(changes) - 1  # a character's frames have the same rival
    first = np.flatnonzero(changes)
    rivals = np.array([rival(path, int(place), random) for place in first])
    leads = random.normal(LEAD, LEAD_DEVIATION, len(first))
    logits = random.normal(FLOOR, FLOOR_DEVIATION, (len(path), ENGLISH.size))
    logits = np.minimum(logits, -2.0)
    frames = np.arange(len(path))
    logits[frames, rivals[token]] = -leads[token] + random.normal(0, 0.5, len(path))
    logits[frames, path] = 0.0
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), np.float32)


def alignment(ids: list[int], random: np.random.Generator) -> Ints:
    """Return the symbol of each frame: ``ids`` in order, with blanks between them."""
    blank, path = ENGLISH.blank_id, [ENGLISH.blank_id]
    for before, symbol in zip([-1, *ids], ids, strict=False):
        path += [blank] * max(int(random.poisson(BLANKS)), int(before == symbol))
        path += [symbol] * (1 + int(random.random() < TWO_FRAMES))
    return np.array([*path, blank])


def rival(path: Ints, place: int, random: np.random.Generator) -> int:
    """Return what the symbol at ``place`` is mistaken for, where it is."""
    symbol = int(path[place])
    if symbol == ENGLISH.blank_id:  # a neighbour, which lasts longer then, or is heard twice
        return int(path[min(place + 1, len(path) - 1)])
    chance = random.random()
    if chance < BLANK_RIVAL:
        return ENGLISH.blank_id
    if chance < BLANK_RIVAL + ANY_RIVAL:
        return int(random.choice([i for i in range(ENGLISH.size) if i != symbol]))
    letter = ENGLISH.symbols[symbol]
    alike = sorted({other for group in ALIKE if letter in group for other in group} - {letter})
    return ENGLISH.encode(str(random.choice(alike)))[0] if alike else ENGLISH.blank_id


if __name__ == "__main__":
    typer.run(main)
