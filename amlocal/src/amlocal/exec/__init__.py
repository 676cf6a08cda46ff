"""What stands in for `az` and the SDK under `aml exec`."""
