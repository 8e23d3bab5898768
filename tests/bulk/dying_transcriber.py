"""The real transcriber, which dies as the fake one does."""

from __future__ import annotations

import os
from pathlib import Path

from fake_workers import die_where_the_id_says_so

from plainspeech.bulk.transcription import Transcriber
from plainspeech.bulk.work import Item, Outcome


class DyingTranscriber(Transcriber):
    """Keeps count of attempts in the folder ``ATTEMPTS``."""

    def __call__(self, item: Item) -> Outcome:
        die_where_the_id_says_so(item, Path(os.environ["ATTEMPTS"]))
        return super().__call__(item)
