"""Which packages of a parallel job's environment are not needed where Azure's engine is not."""

from pathlib import Path
from typing import Any

from amlocal.jobs.parallel.packages import relieved


def environment(*pip: str) -> dict[str, Any]:
    return {"name": "e", "conda_file": {"name": "e", "dependencies": ["python=3.11", "pip", {"pip": list(pip)}]}}


def test_azures_engine_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "import pandas\nfrom .azureml import core\nfrom azureml.ai.monitoring import Collector\n"
    )
    asked = environment("pandas", "azureml-core==1.61.0", "Azureml_Dataset.Runtime[fuse, pandas]>=1.5", "mltable>=1.2")
    found, gone = relieved(asked, tmp_path)
    assert found == environment("pandas")
    assert gone == ["azureml-core", "azureml-dataset-runtime", "mltable"]
    assert len(asked["conda_file"]["dependencies"][2]["pip"]) == 4  # what was given is as it was


def test_what_the_code_imports_itself_stays(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "helper.py").write_text(
        "def f():\n    from azureml.core import Run\n    import azureml.telemetry.x\n"
    )
    (tmp_path / "broken.py").write_text("import (\n")
    asked = environment("azureml-core", "azureml-telemetry", "mltable", "azureml-mlflow")
    found, gone = relieved(asked, tmp_path)
    assert found == environment("azureml-core", "azureml-telemetry", "azureml-mlflow")
    assert gone == ["mltable"]


def test_other_environments_are_not_looked_into() -> None:
    for given in (None, {"reference": "mine:1"}, {"image": "i", "conda_file": None}):
        assert relieved(given, None) == (given, [])
