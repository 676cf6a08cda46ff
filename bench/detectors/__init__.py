"""How late a change of the digits is seen, what the detector promises, what it costs: `python -m bench.detectors`."""
