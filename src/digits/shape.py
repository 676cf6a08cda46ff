"""What a digit is to every part: so many pixels, so many classes."""

SIZE = 28  # pixels of a side
PIXELS = SIZE * SIZE
CLASSES = 10  # 0 to 9
