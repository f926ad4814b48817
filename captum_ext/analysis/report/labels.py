"""Places for the labels of points, so that none covers another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

#: Of the report's font at 12 px: the mean width of a letter, and the height of a line.
LETTER, LINE = 6.4, 14.0
#: Directions from a point, the most readable first.
DIRECTIONS = (
    *((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)),
    *((1, -0.5), (-1, -0.5), (1, 0.5), (-1, 0.5), (0.5, -1), (-0.5, -1), (0.5, 1), (-0.5, 1)),
)
#: How far from its point a label may go; beyond the first, a line leads to it.
REACHES = (9.0, 18.0, 30.0, 44.0, 60.0, 80.0, 104.0, 132.0)
#: How many of them a label tries before it may cover more.
FAR = 4


@dataclass(frozen=True)
class Box:
    """A rectangle of a drawing."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share more than an edge.

        Example:
            >>> Box(0, 0, 2, 2).overlaps(Box(1, 1, 3, 3)), Box(0, 0, 1, 1).overlaps(Box(1, 0, 2, 1))
            (True, False)
        """
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        """Whether the other holds all of it.

        Example:
            >>> Box(0, 0, 1, 1).inside(Box(0, 0, 2, 2)), Box(0, 0, 3, 1).inside(Box(0, 0, 2, 2))
            (True, False)
        """
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Label:
    """Where a label stands.

    Attributes:
        x, y: of the middle of its line's near end.
        anchor: SVG's ``text-anchor``.
        far: whether a line must lead to its point.
    """

    x: float
    y: float
    anchor: str
    far: bool


_Candidate = tuple[Label, Box, list[Box]]


def place_labels(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    frame: Box,
    taken: Sequence[Sequence[Box]] = (),
) -> list[Label | None]:
    """A place for each label; None, where there is none that is free.

    Args:
        points: x and y.
        texts: of the labels, the most important first.
        frame: that they have to stay in.
        taken: what they should not cover, in groups of which the last is given up first.

    Example:
        >>> frame = Box(0, 0, 200, 100)
        >>> [label.anchor for label in place_labels([(50, 50), (60, 50)], ["A", "B"], frame)]
        ['end', 'start']
    """
    dots = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    used, written = [*dots], list[Box]()
    labels: list[Label | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        # A label may stand on a line before it stands far away, or nowhere.
        attempts = [
            (REACHES if not count else REACHES[:FAR], [*used, *chain.from_iterable(taken[:count])])
            for count in range(len(taken), -1, -1)
        ]
        others = [dot for dot in dots if not dot.overlaps(Box(x, y, x, y))]
        free = (
            (label, box, leader)
            for reaches, covered in attempts
            for reach in reaches
            for label, box, leader in _candidates(x, y, text, reach)
            if box.inside(frame)
            and not any(box.overlaps(other) for other in covered)
            and not any(part.overlaps(other) for part in leader for other in [*written, *others])
        )
        label, box, leader = next(free, (None, None, []))
        labels.append(label)
        if box is not None:
            written.append(box)
            used += [box, *leader]
    return labels


def _candidates(x: float, y: float, text: str, reach: float) -> Iterator[_Candidate]:
    """Labels, what they cover, and what the lines that lead to them cover."""
    width, far = LETTER * len(text), reach > REACHES[0]
    for right, down in DIRECTIONS:
        # A slanted step is as long as a straight one.
        step = reach * (0.75 if right and down else 1.0)
        at_x, at_y = x + right * step, y + down * (step + (LINE / 2 if not right else 0))
        left = at_x if right > 0 else at_x - width if right < 0 else at_x - width / 2
        anchor = "start" if right > 0 else "end" if right < 0 else "middle"
        box = Box(left, at_y - LINE / 2, left + width, at_y + LINE / 2)
        parts = range(2, int(reach // 5)) if far else ()
        shares = [5 * part / reach for part in parts]
        spots = [(x + share * (at_x - x), y + share * (at_y - y)) for share in shares]
        leader = [Box(left - 2, top - 2, left + 2, top + 2) for left, top in spots]
        yield Label(round(at_x, 1), round(at_y, 1), anchor, far), box, leader
