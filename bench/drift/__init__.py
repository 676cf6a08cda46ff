"""How late a change of the digits is seen: the digits, the streams, the detectors, and how they are measured."""
