"""One process an instance: the scoring script behind the gateway. These files are run by path, in any Python."""
