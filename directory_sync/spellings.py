"""Which addresses, domains and names look like which. Spec: spec/directory.md, 13.

Addresses and domains are lower-case ASCII: their look-alikes are spelled out, to be looked up. Names may be in any
script; what looks like what there is Unicode's table (UTS 39), through a library.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, groupby
from typing import Final

from disarm import is_mixed_script, normalize_confusables

from directory_sync.words import words

__all__ = [
    "alike_domains",
    "are_alike_domains",
    "domain_spellings",
    "has_mixed_scripts",
    "latin_look",
    "name_key",
    "spellings",
]

# What can stand for what in one place; each side is written for the other.
_ALIKE: Final = (("0", "o"), ("1", "l"), ("rn", "m"), ("vv", "w"))
_DIVIDERS: Final = ".-_"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
# An address of 64 ambiguous letters has thousands of spellings that differ in two places; whoever made it chose so.
_MAX_SPELLINGS: Final = 1_000
# In shorter words a letter is much of it: chu and chr, nord and nort. Both words have so many letters.
_LEAST_WORD: Final = 5
# A domain longer than any that people read: its slips would be ten thousand look-ups.
_MAX_SLIPS_OF: Final = 100
# Folded (words.py); what stands before names in registers and on letterheads.
_TITLES: Final = frozenset({"dr", "drs", "docteur", "pr", "prof", "professeur", "m", "mr", "mme", "mlle", "me"})
_LEAST_NAME_WORDS: Final = 2


def spellings(text: str) -> list[str]:
    """Other spellings of an address's part that look like it: one or two places changed, at most 1,000."""
    return _spellings(text, _DIVIDERS)


def domain_spellings(domain: str) -> list[str]:
    """Other domains that look like this one, or are one slip of the finger away."""
    found = dict.fromkeys(_spellings(domain, ""))
    if len(domain) <= _MAX_SLIPS_OF:
        found.update(dict.fromkeys(_slips(domain)))
    found.pop(domain, None)
    return list(found)


def are_alike_domains(first: str, second: str) -> bool:
    """Whether two domains are look-alikes, or one slip apart, seen from either; false for one and the same."""
    return second in domain_spellings(first)


def alike_domains(domains: Iterable[str]) -> list[tuple[str, str]]:
    """All pairs among many domains that are alike, in order. Domains are compared only where they may be."""
    near: defaultdict[str, list[str]] = defaultdict(list)
    for domain in sorted(set(domains)):
        plain = _plain(domain)
        for key in {domain, plain, *(domain[:at] + domain[at + 1 :] for at in range(len(domain)))}:
            near[key].append(domain)
    pairs = {pair for some in near.values() for pair in combinations(some, 2)}
    return sorted(pair for pair in pairs if are_alike_domains(*pair))


def has_mixed_scripts(text: str) -> bool:
    """Whether a word of the text has letters of more than one script that nobody writes together."""
    return not text.isascii() and any(map(is_mixed_script, _written_words(text)))


def latin_look(text: str) -> str:
    """The text as it looks to who reads Latin letters: letters of other scripts replaced by those that they look like.

    The text itself where nothing in it looks like a Latin letter of its own kind.
    """
    return text if text.isascii() else normalize_confusables(text)


def name_key(name: str) -> str:
    """What two spellings of a person's name have in common: folded words without titles, in order of the alphabet.

    Empty for fewer than two words: "Accueil" is no name that only one has.
    """
    found = sorted({word for word in words(name) if word not in _TITLES})
    return " ".join(found) if len(found) >= _LEAST_NAME_WORDS else ""


def _written_words(text: str) -> Iterator[str]:
    """Runs of letters, marks and digits as they stand; the library knows marks as of no script."""
    for is_gap, run in groupby(text, lambda c: c.isspace() or c in "-'’.,()/·"):
        if not is_gap:
            yield "".join(run)


def _plain(text: str) -> str:
    """One text for all that look alike."""
    for one, other in _ALIKE:
        text = text.replace(one, other)
    return text


def _spellings(text: str, dividers: str) -> list[str]:
    places: list[tuple[int, int, str]] = []
    for pair in _ALIKE:
        for old, new in (pair, pair[::-1]):
            at = text.find(old)
            while at >= 0:
                places.append((at, len(old), new))
                at = text.find(old, at + 1)
    for at, letter in enumerate(text):
        if letter in dividers:
            places += [(at, 1, other) for other in dividers if other != letter]
    places.sort()
    found = dict.fromkeys(_changed(text, [place]) for place in places)
    for first, second in combinations(places, 2):
        if len(found) >= _MAX_SPELLINGS:
            break
        if first[0] + first[1] <= second[0]:
            found[_changed(text, [second, first])] = None
    found.pop(text, None)
    return list(found)[:_MAX_SPELLINGS]


def _changed(text: str, places: Iterable[tuple[int, int, str]]) -> str:
    """places: from the last to the first."""
    for at, length, new in places:
        text = text[:at] + new + text[at + length :]
    return text


def _slips(domain: str) -> Iterator[str]:
    start = 0
    for kind, run in groupby(domain, lambda c: c not in ".-"):
        word = "".join(run)
        before, after = domain[:start], domain[start + len(word) :]
        start += len(word)
        if kind and len(word) >= _LEAST_WORD:
            for other in _slips_of(word):
                yield before + other + after
        elif not kind and before and after and "-" in word:
            yield before + after
            yield before + "." + after
    # A hyphen too many, or in the place of a dot other than the last one.
    for at in range(1, len(domain)):
        if domain[at - 1] not in ".-" and domain[at] not in ".-":
            yield domain[:at] + "-" + domain[at:]
    for at in range(len(domain)):
        if domain[at] == "." and "." in domain[at + 1 :]:
            yield domain[:at] + "-" + domain[at + 1 :]


def _slips_of(word: str) -> Iterator[str]:
    for at, letter in enumerate(word):
        before, after = word[:at], word[at + 1 :]
        if letter not in _LETTERS:
            continue
        if len(word) > _LEAST_WORD:
            yield before + after
        for other in _LETTERS:
            if other != letter:
                yield before + other + after
        if after and after[0] in _LETTERS and after[0] != letter:
            yield before + after[0] + letter + after[1:]
    for at in range(len(word) + 1):
        for other in _LETTERS:
            yield word[:at] + other + word[at:]
