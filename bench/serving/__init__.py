"""The parts of bench/serving.py: what is measured, with what load, and how a model becomes each server's."""
