"""The card as a page: what it tells, once, whatever a card holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from plainspeech import cli
from plainspeech.runtime.bundle import Bundle, bundled_model_path
from plainspeech.runtime.model_card import card_page

CARD: dict[str, Any] = {
    "name": "mine",
    "description": "For a test.",
    "licence": "CC0",
    "parameters": 4418138,
    "results": [
        {
            "data": "dev | clean",
            "network": "int8",
            "decoder": "greedy",
            "wer": 0.25,
            "wer_interval": [0.2, 0.3],
            "cer": 0.125,
            "command": "plainspeech evaluate mine dev.jsonl",
            "date": "2026-11-28T07:02:11+00:00",
        }
    ],
    "combination_of": [
        {"share": 0.5, "name": "left", "epochs": 4, "started_from": {"name": "root", "epochs": 2}},
        {
            "share": 0.5,
            "name": "right",
            "epochs": 1,
            "teacher": "large",
            "started_from": {"name": "root", "epochs": 2},
        },
    ],
}


def page(bundle: Path, card: dict[str, Any]) -> str:
    return card_page(replace(Bundle.load(bundle), card=card))


def test_it_tells_what_a_reader_asks_first(tone_bundle: Path) -> None:
    text = page(tone_bundle, CARD)
    assert text.startswith("# mine\n\nFor a test.\n")
    assert "| parameters | 4,418,138 |" in text
    assert "| dev / clean | int8 | greedy | 25.00 % | 20.00 to 30.00 % | 12.50 % |" in text
    assert "- 2026-11-28: `plainspeech evaluate mine dev.jsonl`" in text
    assert "**right**: 1 epoch, taught by large\n" in text
    assert text.count("**root**: 2 epochs\n") == 1
    assert text.count("**root**: 2 epochs, as above\n") == 1


def test_it_tells_of_teachers_and_of_the_streaming_network(tone_bundle: Path) -> None:
    streaming = {"name": "live", "epochs": 2, "teacher": "large", "started_from": {"name": "root"}}
    text = page(tone_bundle, {"name": "mine", "teacher": "huge", "streaming": streaming})
    assert "| taught by | huge |" in text
    assert "- **the streaming network, live**: 2 epochs, taught by large\n  - **root**\n" in text


def test_the_bundled_card_is_a_page_and_is_json_where_that_is_wanted() -> None:
    told = CliRunner().invoke(cli.app, ["model", "card"]).stdout
    bundle = Bundle.load(bundled_model_path())
    assert told == card_page(bundle)
    assert 30 < told.count("\n") < 100
    assert f"alpha {bundle.decoding.alpha:g}" in told
    assert f"the recurrent model's share {bundle.decoding.neural_weight:g}, unknown" in told
    found = CliRunner().invoke(cli.app, ["model", "card", "--json"]).stdout
    assert json.loads(found) == bundle.card


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(CARD)), inner)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), nested, max_leaves=8
)
TONES: list[Bundle] = []


@given(st.dictionaries(st.sampled_from([*CARD, "tuning", "started_from"]), VALUES))
def test_any_card_is_a_page(card: dict[str, Any]) -> None:
    if not TONES:
        TONES.append(Bundle.load(bundled_model_path()))
    assert card_page(replace(TONES[0], card=card)).startswith("# ")


@pytest.mark.parametrize("key", ["results", "combination_of", "started_from", "tuning"])
@pytest.mark.parametrize("value", [3, "x", [1, ["x"]], {"name": []}, [{"wer": "x", "date": 3}]])
def test_parts_that_are_something_else_are_left_out(
    key: str, value: object, tone_bundle: Path
) -> None:
    assert page(tone_bundle, {**CARD, key: value}).startswith("# mine\n")
