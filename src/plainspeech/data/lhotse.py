"""Manifests to and from lhotse's cuts (Żelasko et al., 2021); needs the ``lhotse`` extra."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import lhotse
import soundfile

from plainspeech.data.manifest import Utterance
from plainspeech.errors import DataError
from plainspeech.files import replacing

_SAME = 1e-3
"""Seconds by which a cut may miss an end of its recording and still be the whole of it."""


def write_cuts(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write ``utterances`` as lhotse's cuts to a ``.jsonl`` or ``.jsonl.gz``, whole or not at all.

    Raises:
        DataError: the name ends otherwise, a recording's header cannot be read, or the file cannot
            be written.
    """
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise DataError(f"{path}: lhotse's cuts are written to .jsonl or .jsonl.gz")
    cuts = to_cuts(utterances)
    try:
        with replacing(path) as temporary:
            cuts.to_file(temporary)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def read_cuts(path: Path) -> list[Utterance]:
    """Read lhotse's cuts as utterances.

    Raises:
        DataError: the file is not a set of cuts, has none, or a cut is no utterance.
    """
    try:
        cuts = list(lhotse.CutSet.from_file(path))
    # lhotse says what is wrong with a file by whatever its parsing stumbles over.
    except Exception as error:
        raise DataError(f"{path}: not a file of lhotse's cuts: {error}") from error
    if not cuts:
        raise DataError(f"{path}: not a file of lhotse's cuts: there is none in it")
    return from_cuts(cuts)


def to_cuts(utterances: Iterable[Utterance]) -> lhotse.CutSet:
    """Return one cut an utterance: the whole recording, with the transcript as its supervision.

    Raises:
        DataError: the header of a recording cannot be read.
    """
    return lhotse.CutSet.from_cuts(_to_cut(utterance) for utterance in utterances)


def _to_cut(utterance: Utterance) -> lhotse.MonoCut | lhotse.MultiCut:
    path = utterance.audio.absolute()
    try:
        header = soundfile.info(path)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{utterance.origin}: {path}: lhotse's names are UTF-8, and this is not: rename it"
        ) from error
    except soundfile.LibsndfileError as error:
        raise DataError(f"{utterance.origin}: {utterance.id}: {path}: {error}") from error
    channels = list(range(header.channels))
    recording = lhotse.Recording(
        id=utterance.id,
        sources=[lhotse.AudioSource(type="file", channels=channels, source=str(path))],
        sampling_rate=header.samplerate,
        num_samples=header.frames,
        duration=header.frames / header.samplerate,
    )
    cut = recording.to_cut()
    cut.id = utterance.id
    cut.supervisions = [
        lhotse.SupervisionSegment(
            id=utterance.id,
            recording_id=utterance.id,
            start=0.0,
            duration=recording.duration,
            channel=channels if header.channels > 1 else 0,
            text=utterance.text,
            speaker=utterance.speaker or None,
        )
    ]
    return cut


def from_cuts(cuts: Iterable[lhotse.Cut]) -> list[Utterance]:
    """Return one utterance a cut.

    Raises:
        DataError: a cut is not the whole of a recording in a file, with one transcript.
    """
    return [_from_cut(cut) for cut in cuts]


def _from_cut(cut: lhotse.Cut) -> Utterance:
    whole = isinstance(cut, lhotse.MonoCut | lhotse.MultiCut) and cut.has_recording
    if not whole or len(cut.supervisions) != 1:
        raise DataError(f"cut {cut.id}: an utterance is one recording with one supervision")
    source, *others = cut.recording.sources
    if others or source.type != "file" or cut.recording.transforms:
        raise DataError(f"cut {cut.id}: {_MEND.format('is not a file as it stands')}")
    if cut.start > _SAME or abs(cut.duration - cut.recording.duration) > _SAME:
        raise DataError(f"cut {cut.id}: {_MEND.format('is a part of its recording')}")
    (supervision,) = cut.supervisions
    if supervision.text is None:
        raise DataError(f"cut {cut.id}: the supervision has no text")
    return Utterance(
        id=cut.id,
        audio=Path(source.source),
        text=supervision.text,
        duration=cut.duration,
        speaker=supervision.speaker or "",
        origin=f"cut {cut.id}",
    )


_MEND = "{}; save it as one, with lhotse's CutSet.save_audios"
