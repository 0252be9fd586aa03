"""
Pairs of texts that are nearly the same, found without comparing each text with each other one.

Similarity is 1 minus the number of characters that must be inserted and deleted to turn one text into the other, divided by
the number of characters of both. It follows how many pairs of neighbouring characters, and how many single ones, two texts
that are alike have in common at least. These are counted for thousands of texts at once, each a bit in large numbers, and
only the few that have as many go to rapidfuzz. No pair is lost by that.
"""

from __future__ import annotations

import math
import operator
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

# Texts, and characters, of a block, which limits the memory that its masks take.
_BLOCK, _BLOCK_CHARACTERS = 4096, 1 << 18
# What all the work may cost, in nanoseconds, as measured: for each character whose pairs are counted, for each
# comparison, and for each pair of characters in it. Not wall-clock time, so the result is the same on every run.
_BUDGET = 30e9
_COST_OF_COUNTING, _COST_OF_COMPARING, _COST_OF_CELL = 1_000, 800, 0.1


class Text(NamedTuple):
    """A text, and the tasks that it trains."""

    text: str
    tasks: frozenset[int]


class Pair(NamedTuple):
    """Two texts, by their places, and how much they are alike, from 0 to 1."""

    first: int
    second: int
    similarity: float


class NearPairs:
    """
    Finds pairs of texts of different tasks that are at least ``similarity`` alike, in as many texts as is feasible.

    :raises KoreAIConfigurationError: rapidfuzz is not installed.
    """

    def __init__(self, similarity: float) -> None:
        self._different = 1 - similarity
        self._distance = _indel_distance()
        self._budget = _BUDGET
        #: The number of texts that were not compared with all others.
        self.left_out = 0

    def find(self, texts: Sequence[Text]) -> Iterator[Pair]:
        """Find the pairs among some texts, no two of which are equal."""
        places = sorted(range(len(texts)), key=lambda place: len(texts[place].text))
        ordered = [texts[place] for place in places]
        for start, end in _blocks([len(each.text) for each in ordered]):
            block = _Block(ordered[start:end])
            for number in range(start + 1, len(ordered)):
                query = ordered[number]
                length, longest = len(query.text), block.lengths[-1]
                if length > longest and not self._may_be_alike(length, longest):
                    break  # The others are longer still.
                if self._budget < 0:
                    self.left_out += len(ordered) - start
                    return
                for before in self._candidates(block, query, number - start):
                    other = ordered[start + before]
                    similarity = self._compare(query.text, other.text)
                    if similarity is not None:
                        yield Pair(places[start + before], places[number], similarity)

    def _candidates(self, block: _Block, query: Text, number: int) -> Iterator[int]:
        """Find the texts of a block, before a number in it, that may be alike."""
        self._budget -= len(query.text) * _COST_OF_COUNTING
        length = len(query.text)
        lengths = [each for each in block.lengths if self._may_be_alike(length, each)]
        for size in (2, 1):
            least = min((self._shared(size, length, each) for each in lengths), default=0)
            if least > 0:
                break
        return block.having(least, _pieces(query.text, size), size, query.tasks, number)

    def _compare(self, one: str, other: str) -> float | None:
        self._budget -= len(one) * len(other) * _COST_OF_CELL + _COST_OF_COMPARING
        most = self._most_changes(len(one), len(other))
        changes: int = self._distance(one, other, score_cutoff=most)
        return None if changes > most else 1 - changes / (len(one) + len(other))

    def _most_changes(self, one: int, other: int) -> int:
        """Return how many characters two texts of these lengths may differ by."""
        return math.floor(self._different * (one + other) + 1e-9)

    def _may_be_alike(self, one: int, other: int) -> bool:
        return abs(one - other) <= self._most_changes(one, other)

    def _shared(self, size: int, one: int, other: int) -> int:
        """Return how many pieces of ``size`` characters texts of these lengths share if they are alike."""
        deleted = (self._most_changes(one, other) + one - other) // 2
        inserted = deleted - one + other
        # A deletion takes up to ``size`` pieces away, an insertion up to one less.
        return one - size + 1 - deleted * size - inserted * (size - 1)


class _Block:
    """Texts that are looked at together. A mask has a bit for each of them."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._texts = texts
        self._every = (1 << len(texts)) - 1
        self._masks: dict[int, dict[Hashable, int]] = {}
        # A text that trains several tasks differs from each other one in some.
        self._of_task = _masks([each.tasks] if len(each.tasks) == 1 else [] for each in texts)
        self.lengths = sorted({len(each.text) for each in texts})

    def having(
        self, least: int, pieces: Iterable[Hashable], size: int, tasks: frozenset[int], number: int
    ) -> Iterator[int]:
        """Find the texts before a number that have at least so many of the pieces, and are of another task."""
        if size not in self._masks:
            self._masks[size] = _masks(_pieces(each.text, size) for each in self._texts)
        masks = self._masks[size]
        found = _at_least(least, [masks[each] for each in pieces if each in masks], self._every)
        found &= ~self._of_task.get(tasks, 0)
        if number < len(self._texts):
            found &= (1 << number) - 1
        while found:
            lowest = found & -found
            found ^= lowest
            yield lowest.bit_length() - 1


def _blocks(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Divide texts of these lengths."""
    start = characters = 0
    for number, length in enumerate(lengths):
        characters += length
        if number > start and (number - start >= _BLOCK or characters > _BLOCK_CHARACTERS):
            yield start, number
            start, characters = number, length
    if lengths:
        yield start, len(lengths)


def _pieces(text: str, size: int) -> Sequence[Hashable]:
    """Return the pieces of 1 or 2 characters; what occurs again is numbered."""
    pieces = text if size == 1 else list(map(operator.add, text, text[1:]))
    if len(set(pieces)) == len(pieces):
        return pieces
    seen: Counter[str] = Counter()
    numbered: list[Hashable] = []
    for piece in pieces:
        seen[piece] += 1
        numbered.append(piece if seen[piece] == 1 else (piece, seen[piece]))
    return numbered


def _masks(labels: Iterable[Iterable[Hashable]]) -> dict[Hashable, int]:
    """Return for each label a mask of who has it."""
    masks: defaultdict[Hashable, int] = defaultdict(int)
    for number, each in enumerate(labels):
        bit = 1 << number
        for label in each:
            masks[label] |= bit
    return dict(masks)


def _at_least(least: int, masks: list[int], every: int) -> int:
    """Return the bits that are set in at least so many masks, by adding them up: all bits at once, as hardware does."""
    if least <= 0:
        return every
    if len(masks) < least:
        return 0
    # What is added first makes the sum reach the next power of 2 exactly if the number is large enough.
    digits = least.bit_length()
    more = (1 << digits) - least
    column = masks
    for digit in range(digits):
        if more >> digit & 1:
            column.append(every)
        carried = []
        while len(column) > 2:
            one, two, three = column.pop(), column.pop(), column.pop()
            half = one ^ two
            column.append(half ^ three)
            carried.append(one & two | half & three)
        if len(column) == 2:
            carried.append(column[0] & column[1])
        column = carried
    found = 0
    for mask in column:
        found |= mask
    return found


def _indel_distance() -> Any:
    """Import rapidfuzz's function, or say how to install it."""
    try:
        from rapidfuzz.distance import Indel
    except ImportError as error:
        raise KoreAIConfigurationError(
            "Near conflicts need rapidfuzz, which is not installed: pip install 'airflow-provider-koreai[quality]'"
        ) from error
    return Indel.distance
