"""Azure's parallel job on one machine: a driver and its worker processes."""
