"""Which happening of A is which of B: one to one, by time.

Two of a kind may be the same when they overlap or lie at most a window apart. What hangs together so is a
cluster, and is matched by itself as soon as nothing more can join it: first those that are wholly alike, then
as many as can be, with the least sum of distances (the assignment problem; shortest augmenting paths after
Jonker and Volgenant, Computing 38, 1987).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.compare.happening import Happening

NS_PER_S = 1_000_000_000
FORBIDDEN = 1e6
MOST_AT_ONCE = (
    150  # of a side; a greater cluster is cut at its widest pause, else the time grows with the cube
)
MOST_IN_CLUSTER = 5000  # what never pauses for longer than the window is matched in such pieces
UNLIKE_WEIGHT = (
    0.5  # what wholly different values weigh, beside 1 for a start and for an end that are far off
)
COVERS = 0.5  # the part of a happening that another one must cover to have swallowed it


@dataclass(slots=True)
class Matched:
    """What became of a cluster."""

    alike: list[tuple[Happening, Happening]]
    pairs: list[tuple[Happening, Happening]]
    only_a: list[Happening]
    only_b: list[Happening]


class Lane:
    """Happenings of one group that wait for what may be their partner."""

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(window_s * NS_PER_S)
        self._waiting: list[tuple[int, int, int, Happening]] = []  # start, side, number
        self._number = 0

    def add(self, side: int, happening: Happening) -> None:
        """Take one of A (side 0) or of B (1)."""
        self._waiting.append((happening.start_ns, side, self._number, happening))
        self._number += 1

    def settle(self, horizon_ns: int | None) -> Iterator[Matched]:
        """Return what nothing that begins at or after `horizon_ns` can change; None: nothing more comes."""
        if not self._waiting:
            return
        alike = self._take_alike()
        if alike:
            yield Matched(alike, [], [], [])
        clusters: list[list[tuple[int, int, int, Happening]]] = []
        until_ns = 0
        for entry in sorted(self._waiting):
            full = bool(clusters) and len(clusters[-1]) >= MOST_IN_CLUSTER and entry[0] > clusters[-1][-1][0]
            if not clusters or full or entry[0] > until_ns + self._window_ns:
                clusters.append([])
                until_ns = entry[3].until_ns
            clusters[-1].append(entry)
            until_ns = max(until_ns, entry[3].until_ns)
        self._waiting = []
        for cluster in clusters:
            end_ns = max(entry[3].until_ns for entry in cluster)
            if horizon_ns is None or end_ns + self._window_ns < horizon_ns:
                yield self._matched(cluster)
            else:
                self._waiting += cluster

    def _take_alike(self) -> list[tuple[Happening, Happening]]:
        """Take out what both runs have at one moment: on a rough road nearly all, and it never pauses."""
        sides: tuple[list[Happening], list[Happening]] = ([], [])
        for _, side, _, happening in sorted(self._waiting):
            sides[side].append(happening)
        here = {(one.start_ns, one.signature) for one in sides[0]}
        here &= {(one.start_ns, one.signature) for one in sides[1]}
        if not here:
            return []
        same = [[one for one in side if (one.start_ns, one.signature) in here] for side in sides]
        alike, _, _ = _alike(same[0], same[1])
        taken = {id(one) for pair in alike for one in pair}
        self._waiting = [entry for entry in self._waiting if id(entry[3]) not in taken]
        return alike

    def _matched(self, cluster: Sequence[tuple[int, int, int, Happening]]) -> Matched:
        sides: tuple[list[Happening], list[Happening]] = ([], [])
        for _, side, _, happening in cluster:
            sides[side].append(happening)
        alike, a, b = _alike(*sides)
        pairs: list[tuple[Happening, Happening]] = []
        only_a: list[Happening] = []
        only_b: list[Happening] = []
        for few_a, few_b in _cut(a, b):
            found = assigned(_costs(few_a, few_b, self._window_ns))
            pairs += [(few_a[i], few_b[j]) for i, j in found]
            taken_a, taken_b = {i for i, _ in found}, {j for _, j in found}
            only_a += [one for i, one in enumerate(few_a) if i not in taken_a]
            only_b += [one for j, one in enumerate(few_b) if j not in taken_b]
        return Matched(alike, pairs, only_a, only_b)


def _alike(
    a: list[Happening], b: list[Happening]
) -> tuple[list[tuple[Happening, Happening]], list[Happening], list[Happening]]:
    """Return those that nothing tells apart, and the others of each side."""
    waiting: dict[bytes, list[Happening]] = {}
    for other in reversed(b):
        waiting.setdefault(other.signature, []).append(other)
    alike, rest = [], []
    for one in a:
        if same := waiting.get(one.signature):
            alike.append((one, same.pop()))
        else:
            rest.append(one)
    left = {id(other) for others in waiting.values() for other in others}
    return alike, rest, [other for other in b if id(other) in left]


def _cut(a: list[Happening], b: list[Happening]) -> Iterator[tuple[list[Happening], list[Happening]]]:
    """Return pieces that are small enough: cut at the widest pause in the middle third."""
    if max(len(a), len(b)) <= MOST_AT_ONCE or not a or not b:
        yield a, b
        return
    starts = sorted(one.start_ns for one in (*a, *b))
    third = len(starts) // 3
    pauses = [(starts[i] - starts[i - 1], i) for i in range(third, 2 * third + 1)]
    limit_ns = starts[max(pauses)[1]]
    if limit_ns == starts[0]:  # all at one moment
        yield a[:MOST_AT_ONCE], b[:MOST_AT_ONCE]
        yield from _cut(a[MOST_AT_ONCE:], b[MOST_AT_ONCE:])
        return
    yield from _cut([x for x in a if x.start_ns < limit_ns], [x for x in b if x.start_ns < limit_ns])
    yield from _cut([x for x in a if x.start_ns >= limit_ns], [x for x in b if x.start_ns >= limit_ns])


def _costs(a: Sequence[Happening], b: Sequence[Happening], window_ns: int) -> npt.NDArray[np.float64]:
    """(len(a), len(b)): how unlike they are."""
    costs = np.full((len(a), len(b)), FORBIDDEN)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            apart_ns = max(one.start_ns, other.start_ns) - min(one.until_ns, other.until_ns)
            if apart_ns <= window_ns:
                costs[i, j] = (
                    _far(one.start_ns, other.start_ns, window_ns)
                    + _far(one.until_ns, other.until_ns, window_ns)
                    + UNLIKE_WEIGHT * _unlike(one, other)
                )
    return costs


def _far(a_ns: int, b_ns: int, window_ns: int) -> float:
    far = float(abs(a_ns - b_ns))
    return far / (far + max(1.0, float(window_ns)))


def _unlike(a: Happening, b: Happening) -> float:
    keys = a.fields.keys() | b.fields.keys()
    unlike = sum(bool(a.fields.get(key) != b.fields.get(key)) for key in keys)
    return unlike / max(1, len(keys))


def assigned(costs: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return pairs (row, column), each once: as many as are not forbidden, with the least sum."""
    if costs.shape[0] > costs.shape[1]:
        return sorted((i, j) for j, i in assigned(costs.T))
    rows, columns = costs.shape
    if not rows:
        return []
    row_price, column_price = np.zeros(rows), np.zeros(columns + 1)
    row_of = np.full(columns + 1, -1)  # the last column is where a search begins
    for row in range(rows):
        row_of[columns] = row
        column = columns
        least, came_from = np.full(columns, np.inf), np.full(columns, columns)
        done = np.zeros(columns + 1, bool)
        while row_of[column] >= 0:
            done[column] = True
            here = row_of[column]
            reach = costs[here] - row_price[here] - column_price[:columns]
            better = ~done[:columns] & (reach < least)
            least[better], came_from[better] = reach[better], column
            column_next = int(np.argmin(np.where(done[:columns], np.inf, least)))
            step = least[column_next]
            row_price[row_of[done]] += step
            column_price[done] -= step
            least[~done[:columns]] -= step
            column = column_next
        while column != columns:
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    found = [(int(row_of[j]), j) for j in range(columns) if row_of[j] >= 0]
    return sorted((i, j) for i, j in found if costs[i, j] < FORBIDDEN)


def swallowed_by(
    one: Happening, pairs: Sequence[tuple[Happening, Happening]], side: int
) -> tuple[Happening, Happening] | None:
    """Return the pair whose partner on the other side covers `one`, which was left over on `side`."""
    for pair in pairs:
        other = pair[1 - side]
        covered_ns = min(one.until_ns, other.until_ns) - max(one.start_ns, other.start_ns)
        length_ns = one.until_ns - one.start_ns
        if covered_ns >= 0 and covered_ns >= COVERS * length_ns and other.until_ns > other.start_ns:
            return pair
    return None
