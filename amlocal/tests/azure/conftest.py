"""The double of Azure, started for a test and checked after it, and the real client on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure_client import client_of, started
from double import Double


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    """A started double, for which this process (and those it starts) takes Azure; each request must be known."""
    with started(tmp_path / "double") as double:
        yield double


@pytest.fixture
def ml_client(double: Double) -> Any:
    """The real MLClient on the double's workspace."""
    return client_of(double)
