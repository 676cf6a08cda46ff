"""The runner and its parts: a plan becomes processes."""
