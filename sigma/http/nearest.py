"""Names that exist, for who sent one that does not: at most five, the nearest first."""

import heapq
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Any

from flask import g

from sigma.http.strict_json import format_value

MOST = 5  # names that one message shows
LONGEST = 60  # characters of a name that count
FINALISTS = 30  # names that are compared letter by letter, which is slow
MAX_COMPARED = 100_000  # names that one request looks through; many mistakes about long lists would hold up all others
LEAST = 500  # names in whose place a look through a short list counts, which takes as long


CONTAINED = 0.8  # how alike a name is that has all of the wanted one in it: `product-name` for `name`, but not before `names`


def _shared_pairs(wanted: str, pairs: Collection[str], name: str) -> float:
    """Return how alike a name is to a wanted one of these pairs of letters.

    It is which of the pairs it has, less what it is longer or shorter, unless all of the wanted one is in it.
    """
    folded = name[:LONGEST].casefold()
    if wanted in folded:
        return len(pairs)
    return sum(pair in folded for pair in pairs) - abs(len(folded) - len(pairs) - 1) / 4


def nearest(name: str, known: Iterable[str], most: int = MOST) -> list[str]:
    """Return those of the known names that are most like a name, the nearest first; of equals, the first in the alphabet."""
    wanted = name[:LONGEST].casefold()
    pairs = {wanted[place : place + 2] for place in range(len(wanted) - 1)} or {wanted}
    finalists = heapq.nsmallest(FINALISTS, known, key=lambda other: (-_shared_pairs(wanted, pairs, other), other))
    matcher = SequenceMatcher(None, b=wanted, autojunk=False)

    def distance(other: str) -> tuple[float, str]:
        folded = other[:LONGEST].casefold()
        matcher.set_seq1(folded)
        return -max(matcher.ratio(), CONTAINED * (wanted in folded)), other

    return heapq.nsmallest(most, finalists, key=distance)


def some_of(name: str, known: Collection[str]) -> str:
    """Return the names that are nearest to one that is not among the known ones, for a message, and how many more there are."""
    names = nearest(name, known)
    more = f" and {len(known) - len(names)} more" if len(known) > len(names) else ""
    return (", ".join(map(format_value, names)) + more) or "none"


def what_there_is(name: Any, known: Collection[str]) -> str:
    """Return the end of a message about a name that is not among the known ones: which there are.

    It is "" for what is no name, and once a request has looked through as many names as one may.
    """
    compared = g.get("compared", 0) + max(LEAST, len(known))
    if not isinstance(name, str) or compared > MAX_COMPARED:
        return ""
    g.compared = compared
    return f" (there {'is' if len(known) == 1 else 'are'} {some_of(name, known)})"
