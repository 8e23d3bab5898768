"""Finds utterances that would spoil training or evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from plainspeech import audio
from plainspeech.alphabet import ENGLISH, Alphabet, can_align, ctc_frames_needed
from plainspeech.cores import available_cores
from plainspeech.data.manifest import Track, Utterance, untracked
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings, output_frames

SILENT = 1e-3
"""A recording no sample of which is beyond this, of full scale 1 (-60 dB), is silent."""

FULL_SCALE = 0.99
CLIPPED = 1e-3
"""A recording with more than this share of its samples at `FULL_SCALE` or beyond is clipped."""

DURATION_TOLERANCE = 0.05
"""Seconds by which a manifest's duration may be off; a few frames of features."""

WARNINGS = frozenset({"clipped", "shared speaker"})
"""The kinds of findings with which a corpus can still be used."""


_USUAL_FEATURES = FeatureSettings()


@dataclass(frozen=True)
class Finding:
    """One fault of one utterance.

    Attributes:
        kind: for counting, such as ``"silent"``.
        utterance: that has it.
        what: the fault and how to fix it.
    """

    kind: str
    utterance: Utterance
    what: str

    @property
    def is_error(self) -> bool:
        """Whether the corpus should not be used as it is."""
        return self.kind not in WARNINGS

    def __str__(self) -> str:
        warning = "" if self.is_error else "warning: "
        return f"{self.utterance.origin}: {self.utterance.id}: {warning}{self.what}"


@dataclass(frozen=True)
class _Recording:
    """What is kept of a decoded recording."""

    samples: int
    peak: float
    at_full_scale: float
    digest: bytes


def find_faults(
    splits: Sequence[Sequence[Utterance]],
    alphabet: Alphabet = ENGLISH,
    features: FeatureSettings = _USUAL_FEATURES,
    subsampling: int = 3,
    track: Track = untracked,
) -> list[Finding]:
    """Decode and examine every utterance.

    Args:
        splits: the utterances of each manifest; two of them must not share anything.
        alphabet: of the model.
        features: of the model.
        subsampling: feature frames for each of its output frames.
        track: shows progress.

    Returns:
        Findings, in the order of the utterances; those that compare utterances come last.
    """
    utterances = [utterance for split in splits for utterance in split]
    with ThreadPoolExecutor(available_cores()) as pool:
        decode = partial(_decoded, sample_rate=features.sample_rate)
        recordings = list(track(pool.map(decode, utterances), len(utterances)))
    findings: list[Finding] = []
    for utterance, recording in zip(utterances, recordings, strict=True):
        findings += _of_text(utterance, alphabet)
        if isinstance(recording, Finding):
            findings.append(recording)
            continue
        findings += _of_audio(utterance, recording, features.sample_rate)
        findings += _of_alignment(
            utterance, output_frames(recording.samples, features, subsampling), alphabet
        )
    digests = [r.digest if isinstance(r, _Recording) else None for r in recordings]
    return [*findings, *_repeats(splits, digests), *_shared_speakers(splits)]


def _decoded(utterance: Utterance, sample_rate: int) -> _Recording | Finding:
    try:
        waveform = audio.read(utterance.audio, sample_rate)
    except PlainspeechError as error:
        return Finding(
            "unreadable or empty", utterance, f"{error}; repair the file or leave it out"
        )
    level = np.abs(waveform)
    return _Recording(
        samples=len(waveform),
        peak=float(level.max()),
        at_full_scale=float((level >= FULL_SCALE).mean()),
        digest=hashlib.blake2b(waveform.tobytes(), digest_size=16).digest(),
    )


def _of_text(utterance: Utterance, alphabet: Alphabet) -> Iterator[Finding]:
    foreign = alphabet.foreign(utterance.text)
    if foreign:
        what = f"the transcript has {foreign!r}, which the alphabet does not"
        mend = (
            "name the one that it was prepared for (--alphabet), or run 'plainspeech data prepare'"
        )
        yield Finding("not in alphabet", utterance, f"{what}: {mend}")
    if not utterance.text.strip():
        yield Finding("no transcript", utterance, "the transcript is empty: leave it out")


def _of_audio(utterance: Utterance, recording: _Recording, rate: int) -> Iterator[Finding]:
    seconds = recording.samples / rate
    if abs(seconds - utterance.duration) > DURATION_TOLERANCE:
        what = f"the manifest says {utterance.duration:.2f} s, the recording has {seconds:.2f} s"
        yield Finding("wrong duration", utterance, f"{what}: run 'plainspeech data prepare'")
    if recording.peak < SILENT:
        what = f"silent, no sample is beyond {SILENT:g} of full scale: leave it out"
        yield Finding("silent", utterance, what)
    if recording.at_full_scale > CLIPPED:
        what = f"{recording.at_full_scale:.1%} of the samples are clipped: take a cleaner recording"
        yield Finding("clipped", utterance, what)


def _of_alignment(utterance: Utterance, frames: int, alphabet: Alphabet) -> Iterator[Finding]:
    if not utterance.text or alphabet.foreign(utterance.text):
        return
    ids = alphabet.encode(utterance.text)
    if not can_align(ids, frames):
        needed = ctc_frames_needed(ids)
        what = f"CTC needs {needed} frames for the transcript, the recording has {frames}"
        remedy = "is it the transcript of another recording? If not, leave it out"
        yield Finding("not alignable", utterance, f"{what}: {remedy}")


def _repeats(
    splits: Sequence[Sequence[Utterance]], digests: Sequence[bytes | None]
) -> Iterator[Finding]:
    """Find what has the id or the recording of an earlier utterance."""
    first: dict[str | bytes, tuple[int, Utterance]] = {}
    places = ((index, utterance) for index, split in enumerate(splits) for utterance in split)
    for (index, utterance), digest in zip(places, digests, strict=True):
        keys: list[str | bytes] = [utterance.id] if digest is None else [utterance.id, digest]
        known = next((key for key in keys if key in first), None)
        if known is not None:
            other_index, other = first[known]
            kind = "duplicated" if other_index == index else "shared between splits"
            thing = "id" if known == utterance.id else "recording"
            what = f"{kind}: the same {thing} as {other.id} ({other.origin}): keep one of them"
            yield Finding(kind, utterance, what)
        for key in keys:
            first.setdefault(key, (index, utterance))


def _shared_speakers(splits: Sequence[Sequence[Utterance]]) -> Iterator[Finding]:
    """Find the first utterance of each split whose speaker an earlier split has too."""
    earlier: dict[str, Utterance] = {}
    for split in splits:
        here = {utterance.speaker: utterance for utterance in reversed(split) if utterance.speaker}
        for speaker, utterance in here.items():
            if speaker in earlier:
                what = f"speaker {speaker} also speaks in another split, {earlier[speaker].origin}"
                yield Finding("shared speaker", utterance, what)
        earlier = here | earlier
