"""Digits as arrays: where they come from, what files they are in, how they are split."""
