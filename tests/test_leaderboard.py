"""docs/leaderboard.md is what its script makes of the records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "leaderboard.py"), "--check"]
    subprocess.run(command, check=True)


def test_the_best_with_a_scorer_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from leaderboard import leaderboard

    def record(name: str, wer: float, **more: object) -> None:
        result = {
            "manifest": "corpus/dev-clean.jsonl",
            "network": "int8",
            "decoder": "beam 200, 4-gram",
            "wer": wer,
            "cer": wer / 2,
        }
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": [result], **more}))

    record("worse", 0.3, hours_of_audio=120.0, seed=3)
    record("better", 0.2, change="twice the width", parameters=13_600_000)
    (tmp_path / "unmeasured.json").write_text("{}")
    rows = [line.split(" | ") for line in leaderboard(tmp_path).splitlines() if "|" in line]
    assert [row[0].strip("| ") for row in rows[2:]] == ["better", "worse", "unmeasured"]
    assert {len(row) for row in rows} == {12}
    assert "20.00 / 10.00" in rows[2]
    assert "13.6" in rows[2]
    assert rows[3][7] == "120"
