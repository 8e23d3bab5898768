"""The search for the pronunciations of a word: a beam over sequences of units, as compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plainspeech.compiling.lazy import compiled
from plainspeech.lm.tables import EOS_ID, NGramTables, score_word

Ints = npt.NDArray[np.int32]
Keys = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

_NONE = -1
_HASH = np.uint64(0x9E3779B97F4A7C15)


class Inventory(NamedTuple):
    """The units that can stand for letters.

    Attributes:
        grams: ``(grams,)``, sorted: letters, and pairs of letters, see `gram`.
        starts: ``(grams + 1,)``, where the units of each begin.
        ids: ``(units,)`` of the n-gram model.
        phones: ``(units, 2)``, -1 for none.
    """

    grams: Keys
    starts: Ints
    ids: Ints
    phones: Ints


class Beam(NamedTuple):
    """Room for hypotheses.

    Attributes:
        states: ``(letters + 1, width)`` of the n-gram model.
        scores: likewise, natural logarithms.
        texts: likewise, hashes of the phones, 0 for none.
        parents: likewise, places among the hypotheses that each continues.
        units: likewise, the last unit, a place in `Inventory.ids`.
        froms: likewise, the letters before that unit.
        sizes: ``(letters + 1,)``, how many hypotheses there are.
    """

    states: Ints
    scores: Doubles
    texts: npt.NDArray[np.uint64]
    parents: Ints
    units: Ints
    froms: Ints
    sizes: Ints


class Candidates(NamedTuple):
    """Continuations of hypotheses, found by a hash of state and phones.

    Attributes:
        slots: ``(slots, 2)``, the stamp of the position that wrote each, and the place of the
            candidate.
        states: ``(candidates,)``, and so on as in `Beam`.
    """

    slots: Keys
    states: Ints
    scores: Doubles
    texts: npt.NDArray[np.uint64]
    parents: Ints
    units: Ints
    froms: Ints


@compiled()
def gram(first: int, second: int) -> int:
    """Return the key of two letters, by their ids; of a single one, ``second`` is -1."""
    return int(first * (1 << 32) + second + 1)


def new_beam(letters: int, width: int) -> Beam:
    """Return room for words of so many letters."""
    return Beam(*_hypotheses(letters + 1, width), np.empty(letters + 1, np.int32))


def new_candidates(most: int) -> Candidates:
    """Return room for so many candidates."""
    slots = 1 << (2 * most - 1).bit_length()
    return Candidates(np.zeros((slots, 2), np.int64), *_hypotheses(most))


def _hypotheses(*shape: int) -> tuple[Ints, Doubles, npt.NDArray[np.uint64], Ints, Ints, Ints]:
    """Return the arrays that `Beam` and `Candidates` share, in their order."""
    parents, units, froms = (np.empty(shape, np.int32) for _ in range(3))
    states, scores, texts = np.empty(shape, np.int32), np.empty(shape), np.empty(shape, np.uint64)
    return states, scores, texts, parents, units, froms


@compiled()
def search_each(
    letters: Ints,
    starts: Ints,
    inventory: Inventory,
    tables: NGramTables,
    threshold: float,
    beam: Beam,
    candidates: Candidates,
    phones: Ints,
    lengths: Ints,
    scores: Doubles,
) -> None:
    """Write the most probable pronunciations of each of several words, the best first.

    Args:
        letters: ids, those of one word after those of the other.
        starts: ``(words + 1,)``, where those of each begin.
        inventory: of units.
        tables: n-grams of units.
        threshold: nats below the best at which hypotheses are dropped.
        beam: room for hypotheses.
        candidates: room for their continuations, not used yet.
        phones: ``(words, pronunciations, 2 * letters)``, ids, to write.
        lengths: ``(words, pronunciations)`` of each, to write; 0 where there is none.
        scores: ``(words, pronunciations)``, ln p(letters, phones), to write.
    """
    for word in range(len(starts) - 1):
        part = letters[starts[word] : starts[word + 1]]
        lengths[word] = 0
        search(
            part,
            inventory,
            tables,
            threshold,
            beam,
            candidates,
            starts[word],
            phones[word],
            lengths[word],
            scores[word],
        )


@compiled()
def search(
    letters: Ints,
    inventory: Inventory,
    tables: NGramTables,
    threshold: float,
    beam: Beam,
    candidates: Candidates,
    stamp: int,
    phones: Ints,
    lengths: Ints,
    scores: Doubles,
) -> int:
    """Write the most probable pronunciations of a word, the best first; return how many.

    Args:
        letters: their ids.
        inventory: of units.
        tables: n-grams of units.
        threshold: nats below the best at which hypotheses are dropped.
        beam: room for hypotheses.
        candidates: room for their continuations.
        stamp: larger than that of any position before; one more for each letter is used.
        phones: ``(pronunciations, 2 * letters)``, ids, to write.
        lengths: ``(pronunciations,)`` of each, to write.
        scores: ``(pronunciations,)``, ln p(letters, phones), to write.
    """
    last = len(letters)
    beam.states[0, 0], beam.scores[0, 0], beam.texts[0, 0] = tables.bos_state, 0.0, 0
    beam.sizes[0] = 1
    for place in range(1, last + 1):
        found, best = 0, -np.inf
        for length in range(1, min(2, place) + 1):
            before = place - length
            second = letters[before + 1] if length == 2 else _NONE
            key = gram(letters[before], second)
            row = np.searchsorted(inventory.grams, key)
            if row == len(inventory.grams) or inventory.grams[row] != key:
                continue
            for parent in range(beam.sizes[before]):
                if beam.scores[before, parent] < best - threshold:
                    continue
                for unit in range(inventory.starts[row], inventory.starts[row + 1]):
                    found, best = _extend(
                        inventory,
                        tables,
                        threshold,
                        beam,
                        candidates,
                        stamp + place,
                        before,
                        parent,
                        unit,
                        found,
                        best,
                    )
        if place == last:
            for one in range(found):
                gained, _ = score_word(tables, candidates.states[one], EOS_ID)
                candidates.scores[one] += gained
            return _listed(inventory, beam, candidates, found, phones, lengths, scores)
        _keep(beam, candidates, place, found, best - threshold)
    return 0


@compiled()
def _extend(
    inventory: Inventory,
    tables: NGramTables,
    threshold: float,
    beam: Beam,
    candidates: Candidates,
    stamp: int,
    before: int,
    parent: int,
    unit: int,
    found: int,
    best: float,
) -> tuple[int, float]:
    """Add a hypothesis with one more unit; return how many candidates there are, and the best."""
    gained, state = score_word(tables, beam.states[before, parent], inventory.ids[unit])
    score = beam.scores[before, parent] + gained
    text = beam.texts[before, parent]
    for phone in inventory.phones[unit]:
        if phone != _NONE:
            text = (text + np.uint64(phone + 1)) * _HASH
            text ^= text >> np.uint64(29)
    # One without any phone may go on to a word, or not: it does not decide which others do.
    if text != 0:
        if score < best - threshold:
            return found, best
        best = max(best, score)
    mask = len(candidates.slots) - 1
    slot = np.int64((text ^ (np.uint64(state) * _HASH)) >> np.uint64(20)) & mask
    while candidates.slots[slot, 0] == stamp:
        there = candidates.slots[slot, 1]
        if candidates.states[there] == state and candidates.texts[there] == text:
            # The same phones by other units: their probabilities are added.
            high = max(candidates.scores[there], score)
            low = min(candidates.scores[there], score)
            candidates.scores[there] = high + np.log1p(np.exp(low - high))
            return found, best
        slot = (slot + 1) & mask
    candidates.slots[slot, 0], candidates.slots[slot, 1] = stamp, found
    candidates.states[found], candidates.scores[found] = state, score
    candidates.texts[found], candidates.parents[found] = text, parent
    candidates.units[found], candidates.froms[found] = unit, before
    return found + 1, best


@compiled()
def _keep(beam: Beam, candidates: Candidates, place: int, found: int, limit: float) -> None:
    """Keep the best candidates, among them one with a phone if there is any."""
    width = beam.states.shape[1]
    if found > width:
        limit = max(limit, np.partition(candidates.scores[:found], found - width)[found - width])
    sounding = _NONE
    for one in range(found):
        better = sounding == _NONE or candidates.scores[one] > candidates.scores[sounding]
        if candidates.texts[one] != 0 and better:
            sounding = one
    kept = 0
    for one in range(found):
        room = kept < width - 1 or (kept < width and (sounding == _NONE or one >= sounding))
        if one != sounding and not (room and candidates.scores[one] >= limit):
            continue
        beam.states[place, kept], beam.scores[place, kept] = (
            candidates.states[one],
            candidates.scores[one],
        )
        beam.texts[place, kept], beam.parents[place, kept] = (
            candidates.texts[one],
            candidates.parents[one],
        )
        beam.units[place, kept], beam.froms[place, kept] = (
            candidates.units[one],
            candidates.froms[one],
        )
        kept += 1
    beam.sizes[place] = kept


@compiled()
def _listed(
    inventory: Inventory,
    beam: Beam,
    candidates: Candidates,
    found: int,
    phones: Ints,
    lengths: Ints,
    scores: Doubles,
) -> int:
    """Write the best of the candidates for a whole word; those with equal phones are one."""
    totals = candidates.scores[:found].copy()
    order = np.argsort(candidates.texts[:found])
    for place in range(1, found):
        one, other = order[place], order[place - 1]
        if candidates.texts[one] == candidates.texts[other]:
            high, low = max(totals[one], totals[other]), min(totals[one], totals[other])
            totals[one] = high + np.log1p(np.exp(low - high))
            totals[other] = -np.inf
    for one in range(found):
        if candidates.texts[one] == 0:
            totals[one] = -np.inf
    count = 0
    while count < len(lengths) and found:
        one = int(np.argmax(totals))
        if totals[one] == -np.inf:
            break
        scores[count], totals[one] = totals[one], -np.inf
        lengths[count] = _spell(inventory, beam, candidates, one, phones[count])
        count += 1
    return count


@compiled()
def _spell(inventory: Inventory, beam: Beam, candidates: Candidates, one: int, phones: Ints) -> int:
    """Write the phones of a candidate; return how many."""
    unit, place, row = candidates.units[one], candidates.froms[one], candidates.parents[one]
    count = 0
    while True:
        for which in (1, 0):
            if inventory.phones[unit, which] != _NONE:
                phones[count] = inventory.phones[unit, which]
                count += 1
        if place == 0:
            break
        unit, place, row = beam.units[place, row], beam.froms[place, row], beam.parents[place, row]
    phones[:count] = phones[:count][::-1].copy()
    return count
