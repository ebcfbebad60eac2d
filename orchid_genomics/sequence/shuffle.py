"""Shuffled sequences with exactly the neighbours of the original: the same count of every pair of
letters.

Drawn evenly among all such orders: a random walk over every pair once (Altschul & Erickson 1985,
Mol Biol Evol 2:526). The trap: N breaks a walk, so each stretch between N is shuffled by itself,
and N and lower case stay where they are.
"""

import numpy as np

from orchid_genomics.sequence.alphabet import CODE, DNA, SOFT


def dinucleotide_shuffle(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tokens (L,) shuffled; the first and the last letter of each stretch without N stay. About 0.5
    ms for 500 nt.
    """
    codes = tokens & CODE
    known = np.concatenate([[False], codes < DNA.count, [False]])
    shuffled = codes.copy()
    for first, last in np.flatnonzero(known[1:] != known[:-1]).reshape(-1, 2).tolist():
        shuffled[first:last] = _walk(codes[first:last], rng)
    return shuffled | (tokens & SOFT)


def _walk(codes: np.ndarray, rng: np.random.Generator) -> list[int]:
    """A random order of the letters (L,) that uses every neighbouring pair exactly once."""
    end = int(codes[-1])
    after = [codes[1:][codes[:-1] == letter] for letter in range(DNA.count)]
    last = _last_steps(after, end, rng)
    steps = []
    for letter, choices in enumerate(after):
        # The last step from such a letter is given; the others come in any order.
        if letter in last:
            at = int(np.flatnonzero(choices == last[letter])[0])
            # First in the list, for `pop` takes steps from its end.
            steps.append([last[letter], *rng.permutation(np.delete(choices, at)).tolist()])
        else:
            steps.append(rng.permutation(choices).tolist())
    letters = [int(codes[0])]
    for _ in range(len(codes) - 1):
        letters.append(steps[letters[-1]].pop())
    return letters


def _last_steps(after: list[np.ndarray], end: int, rng: np.random.Generator) -> dict[int, int]:
    """The last step from every letter but the end, drawn until all of them lead to it: else a walk
    is stuck.
    """
    while True:
        last = {
            # Among occurrences, not kinds of letter: a step that occurs twice must weigh twice, or
            # the orders would not be equally likely.
            letter: int(rng.choice(each))
            for letter, each in enumerate(after)
            if len(each) and letter != end
        }
        if all(_leads(last, letter, end) for letter in last):
            return last


def _leads(last: dict[int, int], letter: int, end: int) -> bool:
    # A way that has not arrived after so many steps goes round in a circle.
    for _ in range(DNA.count):
        letter = last.get(letter, end)
    return letter == end
