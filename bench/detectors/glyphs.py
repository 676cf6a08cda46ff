"""Two scripts that no detector was made with, drawn as digits.data.hands draws: letters, and signs invented here."""

import numpy as np

from digits.data import drawing

# Letters of about the size, the pen and the ink that MNIST's digits have, so that only their shapes are foreign.
LETTERS = drawing.Style(
    glyphs=(
        "0,100 38,0 76,100 | 16,62 60,62",
        "6,0 4,50 2,100 | 6,0 50,6 48,40 8,48 | 8,48 58,56 54,92 2,100",
        "66,0 6,2 4,98 70,100 | 5,48 54,48",
        "4,0 2,100 | 66,0 64,100 | 3,50 65,50",
        "6,0 4,100 | 62,0 6,54 66,100",
        "2,100 8,0 38,60 68,0 74,100",
        "6,0 4,100 | 6,2 58,8 54,44 6,50 | 6,50 64,100",
        "0,2 72,0 | 36,1 34,100",
        "0,0 18,100 38,30 56,100 76,0",
        "2,0 66,100 | 68,0 0,100",
    ),
    fills=False,
    height=(20.0, 1.2),
    pen=(0.98, 0.25),
    soft=(0.9, 1.5),
    uneven=0.06,
    peak=(262, 6),
    slant=(0.1, 0.16),
)

SIGNS = drawing.Style(
    glyphs=(
        "50,0 50,100 | 10,30 50,10 90,30",
        "0,50 100,50 | 20,10 80,90",
        "50,0 0,50 50,100 100,50 50,0 | 50,0 50,100",
        "0,0 0,100 100,100 | 40,40 100,0",
        "10,10 90,10 50,55 90,100 10,100",
        "0,80 25,20 50,80 75,20 100,80",
        "50,50 70,40 60,20 30,20 15,50 35,85 75,85 95,50 90,10",
        "20,0 20,100 | 20,50 80,0 | 20,50 80,100 | 80,0 80,100",
        "0,20 100,20 | 0,50 100,50 | 50,20 50,100",
        "30,0 70,30 30,60 70,100 | 10,60 90,60",
    ),
    fills=False,
    height=(20.0, 1.5),
    pen=(0.98, 0.25),
    soft=(0.9, 1.5),
    uneven=0.06,
    peak=(262, 6),
    slant=(0.0, 0.12),
)


def draw(hand: drawing.Style, count: int, seed: int) -> np.ndarray:
    """`count` pictures uint8 (count, 28, 28) of the hand's ten glyphs in turn."""
    return drawing.draw(hand, np.arange(count) % 10, seed)
