"""The parts of bench/drift.py: the digits, the streams, the methods, and how they are measured."""
