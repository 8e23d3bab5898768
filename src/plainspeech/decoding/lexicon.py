"""Words as a trie over the alphabet."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plainspeech.alphabet import Alphabet
from plainspeech.errors import LanguageModelError

if TYPE_CHECKING:
    from plainspeech.decoding.kernels.records import Trie
    from plainspeech.lm.scorer import NGramLanguageModel, Tables
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
    from plainspeech.decoding.kernels.records import Trie

    written, places = written_words(words, alphabet)
    ids = places + np.int32(first_id)

    def make() -> Arrays:
        trie = build_trie(written, ids, _NO_HOMOPHONES, alphabet, tables)
        return {"nodes": trie.nodes, "symbols": trie.symbols}

    name = hashlib.sha256("\0".join(written).encode(errors="surrogatepass"))
    name.update(ids.tobytes())
    made = kept_lexicon(f"lexicon {alphabet.symbols} {name.hexdigest()}", make, tables)
    return Trie(made["nodes"], made["symbols"], _NO_HOMOPHONES)


def kept_lexicon(
    name: str,
    make: Callable[[], Arrays],
    tables: Tables,
    arrays: Sequence[str] = ("nodes", "symbols"),
    code: Sequence[str] = (),
) -> Arrays:
    """Return the arrays that ``make`` returns, from disk where an earlier process has saved them.

    What is small is not kept, nor what comes from probabilities that KenLM has to be asked for.

    Args:
        name: of the lexicon, unique but for the probabilities.
        make: returns the arrays of a trie, and what else is to be kept.
        tables: the language model, whose probabilities of words count.
        arrays: their names, ``"nodes"`` among them.
        code: the files of the code that makes them, besides that which makes tries.
    """
    from plainspeech.decoding.kernels import records, scoring
    from plainspeech.lm import tables as layout
    from plainspeech.lm.table_cache import cached_arrays

    if isinstance(tables, layout.NGramTables):
        unigrams = hashlib.sha256(tables.unigrams.tobytes()).hexdigest()
        sources = [__file__, records.__file__, scoring.__file__, layout.__file__, *code]
        made = cached_arrays(f"{name} {unigrams}", sources, make, arrays, _WORTH_IT)
    else:
        made = make()
    # Files do not say that the fields are aligned, by which compiled code tells types apart.
    return {**made, "nodes": made["nodes"].view(records.TRIE_NODE)}


def check_probabilities(scorer: NGramLanguageModel) -> None:
    """Check that there are probabilities of all words: compiled code would read beyond the arrays.

    Raises:
        LanguageModelError: there are not.
    """
    from plainspeech.lm.tables import NGramTables

    words, tables = len(scorer.vocabulary), scorer.tables
    if isinstance(tables, NGramTables) and len(tables.unigrams) < words:
        raise LanguageModelError(
            f"scorer: {words:,} words, but probabilities of {len(tables.unigrams):,}: a word is "
            f"listed twice, or its tables are another model's"
        )


def words_of(lexicon: Trie, symbols: Sequence[int]) -> list[int]:
    """Return the ids of the words that are written with these symbols; none where none is."""
    node = 0
    for symbol in symbols:
        found = _child(lexicon, node, symbol)
        if found is None:
            return []
        node = found
    word = int(lexicon.nodes["word"][node])
    if word >= -1:
        return [word] if word >= 0 else []
    alike = lexicon.homophones[-2 - word :]
    return alike[: int(np.argmax(alike < 0))].tolist()  # type: ignore[no-any-return]


def _child(lexicon: Trie, node: int, symbol: int) -> int | None:
    """Do what `plainspeech.decoding.kernels.tries.child` does, in Python."""
    first, end = lexicon.nodes["first"][node : node + 2].tolist()
    if len(lexicon.symbols):
        siblings = lexicon.symbols[first:end].tolist()
        return first + siblings.index(symbol) if symbol in siblings else None
    mask, bit = int(lexicon.nodes["mask"][node]), 1 << symbol
    return first + (mask & (bit - 1)).bit_count() if mask & bit else None


def build_trie(
    strings: Sequence[str], ids: Ints, homophones: Ints, alphabet: Alphabet, tables: Tables
) -> Trie:
    """Return the trie of ``strings``, which have ``ids``, with its look-ahead.

    Args:
        strings: that the alphabet can write.
        ids: of the words; of several with the same string, see `Trie`.
        homophones: see `Trie`.
        alphabet: of the strings.
        tables: the language model.
    """
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


def ids_of_written(vocabulary: Sequence[str], alphabet: Alphabet) -> dict[str, int]:
    """Return the id of each word of a language model, as the alphabet writes it."""
    from plainspeech.lm.tables import SPECIAL_WORDS

    words, places = written_words(vocabulary[len(SPECIAL_WORDS) :], alphabet)
    # A word that is listed twice has its first id, as in the lexicon.
    pairs = zip(reversed(words), reversed(places.tolist()), strict=True)
    return {word: place + len(SPECIAL_WORDS) for word, place in pairs}


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
