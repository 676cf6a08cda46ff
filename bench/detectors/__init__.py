"""The parts of bench/detection.py: the digits, the streams, the methods, and how they are measured."""
