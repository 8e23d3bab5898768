"""The benchmark of what each corpus is worth gives every row as much to learn from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.training.corpora import heard, rounds, rows, table

from plainspeech.data.manifest import Utterance, write_manifest


def utterances(name: str, count: int, seconds: float = 36.0) -> list[Utterance]:
    return [
        Utterance(f"{name}-{n}", Path(f"{name}{n}.wav"), "a", seconds, f"{name}{n % 2}")
        for n in range(count)
    ]


@pytest.mark.parametrize("hours", [0.02, 0.1, 0.25])
def test_all_rows_hear_as_much_and_each_utterance_as_often_as_the_others(hours: float) -> None:
    for count in (1, 7, 40):
        taken = rounds(utterances("a", count), hours)
        assert hours <= sum(u.duration for u in taken) / 3600 < hours + 0.01 + 1e-9
        assert len({u.id for u in taken}) == len(taken)
        times = Counter(u.audio for u in taken)
        assert max(times.values()) - min(times.values() if len(times) == count else [0]) <= 1


def test_each_corpus_is_added_to_the_base_and_the_last_row_is_the_base_again(
    tmp_path: Path,
) -> None:
    for name, count in (("base", 3), ("one", 4), ("two", 5)):
        write_manifest(tmp_path / f"{name}.jsonl", utterances(name, count))
    base, one, two = (tmp_path / f"{name}.jsonl" for name in ("base", "one", "two"))
    found = list(rows([base], [one, two], again=True))
    assert [(r.name, len(r.utterances), r.seed) for r in found] == [
        ("base", 3, 1),
        ("one", 7, 1),
        ("two", 8, 1),
        ("all", 12, 1),
        ("base-again", 3, 2),
    ]
    assert heard(found[1]) == {"hours": pytest.approx(0.07), "speakers": 4}


def test_the_table_has_the_rows_that_are_done(tmp_path: Path) -> None:
    rates = {"hours": 6.34, "speakers": 30, "dev greedy": 0.5, "dev beam": 0.25}
    rates |= {"other greedy": 0.75, "other beam": 0.5}
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    lines = list(table({"base": tmp_path / "rates.json", "one": tmp_path / "none.json"}))
    assert lines[2:] == ["| base | 6.3 | 30 | 50.0 | 25.0 | 75.0 | 50.0 |"]
