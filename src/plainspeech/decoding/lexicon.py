"""Words as a trie over the alphabet."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.errors import LanguageModelError

if TYPE_CHECKING:
    from plainspeech.decoding.kernels.records import Trie
    from plainspeech.lm.scorer import Tables
    from plainspeech.lm.table_cache import Arrays

Ints = npt.NDArray[np.int32]

_MASK_BITS = 64
_NO_HOMOPHONES = np.empty(0, np.int32)
_WORTH_IT = 1_000_000  # bytes of a trie; a smaller one is laid out faster than it is read


@dataclass(frozen=True)
class TrieLayout:
    """A trie, its nodes in breadth-first order: the children of a node are neighbours.

    Attributes:
        parents: of each node; that of the root is the root.
        symbols: the last symbol of each node, -1 for the root.
        depths: symbols from the root to each node.
        ends: the node of each string.
    """

    parents: Ints
    symbols: Ints
    depths: Ints
    ends: Ints

    def fill(self, nodes: npt.NDArray[Any]) -> None:
        """Write masks and first children into ``nodes``, which has one more record than nodes."""
        count = len(self.parents)
        nodes["first"] = 1 + np.searchsorted(self.parents[1:], np.arange(count + 1))
        bits = np.uint64(1) << (self.symbols[1:] % _MASK_BITS).astype(np.uint64)
        starts = np.flatnonzero(np.diff(self.parents[1:], prepend=-1))
        if len(starts):
            nodes["mask"][self.parents[1:][starts]] = np.bitwise_or.reduceat(bits, starts)

    def listed_symbols(self, alphabet: Alphabet) -> Ints:
        """Return `Trie.symbols`: empty where the masks tell."""
        return self.symbols if alphabet.size > _MASK_BITS else np.empty(0, np.int32)


def build_lexicon(words: Sequence[str], first_id: int, alphabet: Alphabet, tables: Tables) -> Trie:
    """Return the trie of ``words``; the id of a word is its index plus ``first_id``.

    Words of another case, or with accents that the alphabet lacks, are folded to it. Those that it
    cannot write are left out, which is logged. What is large is kept on disk
    (`plainspeech.lm.table_cache`).

    Raises:
        LanguageModelError: none of ``words`` can be written with the alphabet.
    """
    written, places = written_words(words, alphabet)
    return _lexicon(written, places + np.int32(first_id), _NO_HOMOPHONES, alphabet, tables)


def build_spoken_lexicon(
    strings: Mapping[str, Sequence[int]], alphabet: Alphabet, tables: Tables
) -> Trie:
    """Return the trie of ``strings``, at whose ends are the ids of the words that sound so.

    Raises:
        LanguageModelError: there are none.
    """
    if not strings:
        raise LanguageModelError("lexicon: no word of the language model has a pronunciation")
    ids: list[int] = []
    homophones: list[int] = []
    for words in strings.values():
        ids.append(words[0] if len(words) == 1 else -2 - len(homophones))
        if len(words) > 1:
            homophones += (*words, -1)
    alike = np.array(homophones, np.int32)
    return _lexicon(list(strings), np.array(ids, np.int32), alike, alphabet, tables)


def _lexicon(
    strings: Sequence[str], ids: Ints, homophones: Ints, alphabet: Alphabet, tables: Tables
) -> Trie:
    """Return the trie of ``strings``, which have ``ids``, from the cache if it is there."""
    from plainspeech.decoding.kernels import records, scoring
    from plainspeech.lm.table_cache import cached_arrays
    from plainspeech.lm.tables import NGramTables

    def make() -> Arrays:
        made = _trie(strings, ids, homophones, alphabet, tables)
        return {"nodes": made.nodes, "symbols": made.symbols}

    if not isinstance(tables, NGramTables):  # KenLM's probabilities would have to be asked for
        return records.Trie(**make(), homophones=homophones)
    name = hashlib.sha256("\0".join(strings).encode(errors="surrogatepass"))
    for array in (ids, homophones, tables.unigrams):
        name.update(array.tobytes())
    kept = cached_arrays(
        f"lexicon {alphabet.symbols} {name.hexdigest()}",
        [__file__, records.__file__, scoring.__file__],
        make,
        ["nodes", "symbols"],
        _WORTH_IT,
    )
    # Files do not say that the fields are aligned, by which compiled code tells types apart.
    nodes = kept["nodes"].view(records.TRIE_NODE)
    return records.Trie(nodes, kept["symbols"], homophones)


def _trie(
    strings: Sequence[str], ids: Ints, homophones: Ints, alphabet: Alphabet, tables: Tables
) -> Trie:
    from plainspeech.decoding.kernels.records import NONE, TRIE_NODE, Trie
    from plainspeech.decoding.kernels.scoring import compute_look_ahead

    layout = lay_out(strings, alphabet, "lexicon")
    nodes = np.zeros(len(layout.parents) + 1, TRIE_NODE)
    layout.fill(nodes)
    nodes["word"] = NONE
    # A word that is listed twice has its first id.
    nodes["word"][layout.ends[::-1]] = ids[::-1]
    lexicon = Trie(nodes, layout.listed_symbols(alphabet), homophones)
    compute_look_ahead(lexicon, layout.parents, tables)
    return lexicon


def written_words(words: Sequence[str], alphabet: Alphabet) -> tuple[Sequence[str], Ints]:
    """Return the words as the alphabet writes them, and their places in ``words``.

    Those that need no folding come first.
    """
    symbols = frozenset(alphabet.symbols)
    if symbols.issuperset("".join(words)):
        return words, np.arange(len(words), dtype=np.int32)
    exact: dict[str, int] = {}
    folded: dict[str, int] = {}
    left_out: list[str] = []
    for place, word in enumerate(words):
        if symbols.issuperset(word):
            exact.setdefault(word, place)
        elif plain := _folded(word, alphabet):
            folded.setdefault(plain, place)
        else:
            left_out.append(word)
    found = {**folded, **exact}
    if not found:
        raise LanguageModelError(
            f"lexicon: no word of the language model can be written with the alphabet; the first "
            f"is {words[0][:60]!r}"
        )
    if left_out:
        logging.getLogger("plainspeech").warning(
            "words of the language model that the alphabet cannot write are left out: %d; the "
            "first is %r",
            len(left_out),
            left_out[0][:60],
        )
    return list(found), np.array(list(found.values()), np.int32)


def _folded(word: str, alphabet: Alphabet) -> str:
    """Return ``word`` as the alphabet writes it; empty where that would be another word."""
    if alphabet.lost(word):
        return ""
    plain = alphabet.normalise(word)
    return "" if " " in plain else plain


def lay_out(strings: Sequence[str], alphabet: Alphabet, name: str) -> TrieLayout:
    """Return the trie of ``strings``.

    Raises:
        LanguageModelError: a string is empty or has a character outside the alphabet; the message
            begins with ``name``.
    """
    matrix, lengths = _encode(strings, alphabet, name)
    columns = matrix.shape[1]
    order = np.argsort(np.ascontiguousarray(matrix).view(f"S{matrix.itemsize * columns}").ravel())
    matrix, lengths = matrix[order], lengths[order]
    nodes = np.zeros(len(strings), np.int32)  # of each string's first characters
    parents, symbols, count = [np.zeros(1, np.int32)], [np.full(1, -1, np.int32)], 1
    for column in range(columns):
        longer = np.flatnonzero(lengths > column)
        before, letters = nodes[longer], matrix[longer, column]
        new = np.ones(len(longer), np.bool_)
        new[1:] = (before[1:] != before[:-1]) | (letters[1:] != letters[:-1])
        nodes[longer] = count + np.cumsum(new) - 1
        parents.append(before[new])
        symbols.append(letters[new].astype(np.int32) - 1)
        count += len(parents[-1])
    ends = np.empty_like(nodes)
    ends[order] = nodes
    return TrieLayout(
        parents=np.concatenate(parents),
        symbols=np.concatenate(symbols),
        depths=np.repeat(np.arange(len(parents), dtype=np.int32), list(map(len, parents))),
        ends=ends,
    )


def _encode(
    strings: Sequence[str], alphabet: Alphabet, name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return ids plus one as rows padded with zeros, in an order-preserving type, and lengths."""
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    if len(strings) and not lengths.min():
        raise LanguageModelError(f"{name}: the string at {int(lengths.argmin())} is empty")
    points = np.frombuffer("".join(strings).encode("utf-32-le", "surrogatepass"), np.uint32)
    known = np.array([ord(symbol) for symbol in alphabet.symbols])
    # Of each code point, up to one beyond all symbols: its id plus one, 0 where it has none.
    ids = np.zeros(int(known.max()) + 2, np.int32)
    ids[known] = np.arange(1, len(known) + 1)
    encoded = ids[np.minimum(points, len(ids) - 1)]
    foreign = np.flatnonzero(encoded == 0)
    if len(foreign):
        index = int(np.searchsorted(np.cumsum(lengths), foreign[0], side="right"))
        raise LanguageModelError(
            f"{name}: {strings[index]!r} has {alphabet.foreign(strings[index])!r}, "
            f"which the alphabet does not"
        )
    kind = np.dtype("u1" if len(known) < 255 else ">u4")
    matrix = np.zeros((len(strings), max(1, int(lengths.max(initial=0)))), kind)
    matrix[np.arange(matrix.shape[1]) < lengths[:, None]] = encoded
    return matrix, lengths
