"""Suggestions for a name that does not exist: at most five that do, the nearest first."""

import heapq
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Any

from flask import g

from sigma.http.strict_json import format_value

MOST = 5  # names in one message
LONGEST = 60  # characters of a name that are compared
FINALISTS = 30  # names that are compared letter by letter, which is slow
MAX_COMPARED = 100_000  # names that one request may search; many mistakes about long lists would hold up all other requests
LEAST = 500  # names that a search of any shorter list counts as, because it takes as long
CONTAINED = 0.8  # likeness of a name that contains the wanted one: `product-name` is near `name`, but `names` is nearer


def _shared_pairs(wanted: str, pairs: Collection[str], name: str) -> float:
    """Return how like a name is to the wanted one, which has these pairs of adjacent letters.

    That is the number of pairs that occur in the name, less a penalty for its being longer or shorter. A name that contains
    the wanted one has all pairs, and no penalty.
    """
    folded = name[:LONGEST].casefold()
    if wanted in folded:
        return len(pairs)
    return sum(pair in folded for pair in pairs) - abs(len(folded) - len(pairs) - 1) / 4


def nearest(name: str, known: Iterable[str], most: int = MOST) -> list[str]:
    """Return the known names that are most like a name, the nearest first, and equally near ones in alphabetical order."""
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
    """Return for a message the known names that are nearest to an unknown one, and how many more there are."""
    names = nearest(name, known)
    more = f" and {len(known) - len(names)} more" if len(known) > len(names) else ""
    return (", ".join(map(format_value, names)) + more) or "none"


def what_there_is(name: Any, known: Collection[str]) -> str:
    """Return the end of a message about an unknown name: which names there are.

    It is "" if the name is not text, and once a request has searched MAX_COMPARED names.
    """
    compared = g.get("compared", 0) + max(LEAST, len(known))
    if not isinstance(name, str) or compared > MAX_COMPARED:
        return ""
    g.compared = compared
    return f" (there {'is' if len(known) == 1 else 'are'} {some_of(name, known)})"
