"""A model that is deployed without a scoring script is answered for as Azure's script would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amlocal.endpoints.plan import MLFLOW_SCRIPT

SUPPORT = Path(__file__).parents[2] / "support"
AZURE: dict[str, Any] = json.loads((SUPPORT / "mlflow_answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What our script answers to the table's requests, as the table has it for Azure's."""
    folder = tmp_path_factory.mktemp("table")
    answers = folder / "answers.json"
    (folder / "models").mkdir()
    command = [sys.executable, str(SUPPORT / "mlflow_table.py"), str(MLFLOW_SCRIPT), str(folder / "models")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AZUREML_"))}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([*command, str(answers)], capture_output=True, text=True, env=environment, cwd=folder)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(answers.read_text(encoding="utf-8"))


@pytest.mark.parametrize("model", AZURE)
def test_every_request_gets_azures_answer(ours: Any, model: str) -> None:
    assert ours[model] == AZURE[model]
