"""Whom `aml` talks to. Every command gets its client here and nowhere else."""

from typing import Any


def client() -> Any:
    """The workspace of the current folder, with the attributes and methods of azure-ai-ml's MLClient."""
    from amlocal.client import LocalMLClient

    return LocalMLClient()
