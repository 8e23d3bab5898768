"""Manifests, recipes and hot words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from mutations import TEXTS, VALUES, mutated_bytes, mutated_json, mutated_text

from plainspeech.alphabet import ENGLISH
from plainspeech.data.manifest import read_manifest
from plainspeech.decoding.hot_words import (
    LARGEST_SUM,
    build_hot_words,
    parse_hot_words,
    validated_hot_words,
)

RECIPES = Path(__file__).parents[2] / "recipes"
UTTERANCES = [
    {"id": "a", "audio": "a.flac", "text": "they had", "duration": 3.25, "speaker": "2803"},
    {"id": "b", "audio": "b.flac", "text": "one night", "duration": 12},
]
LETTERS = ["a", "b", "the ", "speech", "'", " ", "A", "É", "3", "ß", "-", ":", "#", "\0", "\u2028"]


def manifest(folder: Path) -> Callable[[random.Random], str]:
    path = folder / "m.jsonl"
    whole = "".join(f"{json.dumps(line)}\n" for line in UTTERANCES)

    def run(draw: random.Random) -> str:
        change = draw.randrange(3)
        if change == 0:
            path.write_bytes(mutated_bytes(whole.encode(), draw))
        elif change == 1:
            path.write_bytes(mutated_text(whole.replace('"', ' "'), draw))
        else:
            lines = [json.dumps(mutated_json(line, draw)) for line in UTTERANCES]
            path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
        return f"{len(read_manifest(path))} utterances"

    return run


def recipe(folder: Path) -> Callable[[random.Random], str]:
    from plainspeech.training.recipe import read_recipe

    path = folder / "r.toml"
    texts = [file.read_text() for file in sorted(RECIPES.glob("*.toml"))]

    def run(draw: random.Random) -> str:
        text = draw.choice(texts)
        if draw.random() < 0.7:
            lines = text.split("\n")
            place = draw.choice([n for n, line in enumerate(lines) if "=" in line])
            key = lines[place].partition("=")[0]
            value = draw.choice([*TEXTS, *map(str, VALUES), "nan", "-inf", "1979-05-27", '"x"'])
            lines[place] = f"{key}= {value}"
            text = "\n".join(lines)
        content = mutated_text(text, draw) if draw.random() < 0.5 else text.encode(errors="replace")
        path.write_bytes(content)
        read_recipe(path)
        return "read"

    return run


def hot_words(folder: Path) -> Callable[[random.Random], str]:
    def phrase(draw: random.Random) -> str:
        most = draw.choice([2, 5, 30, 300])
        return "".join(draw.choices(LETTERS, k=draw.randrange(1, most)))

    def run(draw: random.Random) -> str:
        change = draw.randrange(4)
        if change == 0:
            given: object = {phrase(draw): draw.choice(VALUES) for _ in range(draw.randrange(9))}
        elif change == 1:  # one within the other
            part, most = draw.choice(["a", "ab", "a "]), draw.randrange(1, 40)
            weight = draw.choice([1.0, 30.0, 100.0, -100.0])
            given = {" ".join([part] * (n + 1)): weight for n in range(most)}
        else:
            weights = [*map(str, VALUES[:28]), "8", "-3.5", "nan", "1e999", ""]
            lines = [f"{phrase(draw)}:{draw.choice(weights)}" for _ in range(draw.randrange(9))]
            text = "\n".join(lines).encode(errors="replace")
            if change == 2:
                text = mutated_bytes(text, draw)
            given = parse_hot_words(text.decode(errors="replace"))
        trie = build_hot_words(validated_hot_words(given, ENGLISH), ENGLISH)
        assert abs(trie.nodes["reward"]).max() <= LARGEST_SUM
        return "built"

    return run


CASES = {"manifest": manifest, "recipe": recipe, "hot words": hot_words}
