"""The colour and the shape by which the page tells one hand from another, in the order of the table of hands."""

from dataclasses import dataclass

from digits.data.hands import HANDS


@dataclass(frozen=True)
class Mark:
    """A colour on light and on dark ground, and a shape as the path of an SVG around 0,0."""

    light: str
    dark: str
    shape: str


_MARKS = (
    Mark("#64748b", "#94a3b8", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0"),
    Mark("#0b68b4", "#5cb3f5", "M-4,-4H4V4H-4Z"),
    Mark("#c2480a", "#ff9a57", "M0,-5L5,4H-5Z"),
    Mark("#00777b", "#4fd1c5", "M0,5L5,-4H-5Z"),
    Mark("#7a6400", "#e0c040", "M-5,-2H5V2H-5Z"),
)
OTHER = "M0,-5L5,0L0,5L-5,0Z"  # the shape of what is no hand of the table


def marks() -> dict[str, Mark]:
    """The mark of each hand, by its name. With more hands than marks, some look alike."""
    return {name: _MARKS[place % len(_MARKS)] for place, name in enumerate(HANDS)}


def colours(*, dark: bool) -> str:
    """The hands' colours as variables of CSS."""
    return " ".join(f"--{name}: {mark.dark if dark else mark.light};" for name, mark in marks().items())


def classes() -> str:
    """A class of CSS for each hand, which has its colour."""
    return " ".join(f".{name} {{ --hand: var(--{name}); }}" for name in HANDS)
