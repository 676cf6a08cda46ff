"""The model registry, through what MLflow's own store and Azure's server both understand.

Azure knows no aliases, so a tag marks the champion; where there are aliases, one of the same name follows it. Azure
refuses tags while a version is created, so they are set afterwards. And its server has no /logged-models, which
`mlflow.register_model("runs:/...")` asks for when the artifact listing is relative to the run, as azureml-mlflow's is;
so a version is created from the artifact's own address.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.errors import ModelError
from digits.network.lite import FILE, Lite

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"  # the tag: "true" or "false"; and the alias
FINGERPRINT = "fingerprint"  # the tag: what tells this model from any other (`digits.network.lite.fingerprint`)


def champion(name: str) -> ModelVersion | None:
    """The latest version of the model `name` that is tagged champion=true, None if there is none."""
    return max(_champions(name), key=_number, default=None)


def version_of(name: str, fingerprint: str) -> ModelVersion | None:
    """The latest version of the model `name` that was made of a model with this fingerprint, None if there is none."""
    found = (version for version in _versions(name) if version.tags.get(FINGERPRINT) == fingerprint)
    return max(found, key=_number, default=None)


def probabilities(version: ModelVersion, images: np.ndarray) -> np.ndarray:
    """What a registered version answers, float32 (n, 10), to images uint8 (n, 28, 28).

    Raises ModelError if it cannot be fetched or is not a model of these digits.
    """
    import mlflow

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        uri = f"models:/{version.name}/{version.version}"
        try:
            folder = mlflow.artifacts.download_artifacts(uri, dst_path=scratch)
        except Exception as error:  # whatever the storage behind the registry raises
            raise ModelError(f"its files cannot be fetched: {error}") from error
        file = Path(folder, FILE)
        if not file.is_file():
            raise ModelError(f"it has no {FILE}")
        return Lite(file).probabilities(images)


def register(name: str, folder: Path, run_id: str, tags: dict[str, str], description: str = "") -> ModelVersion:
    """Log `folder` as artifact `model` of the active run, `run_id`, and make it the champion of the model `name`.

    description: in Markdown, of the version, and of the model as long as the version is its champion.

    It gets the champion's tag last of all, and former ones lose theirs only then, so that there is always a champion.
    Should two registrations meet, both versions exist and the later one is champion.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    mlflow.log_artifacts(str(folder), "model")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise
    version = client.create_model_version(name, source=mlflow.get_artifact_uri("model"), run_id=run_id)
    for key, value in {**tags, CHAMPION: "true"}.items():
        client.set_model_version_tag(name, version.version, key, value)
    for former in _champions(name):
        if _number(former) < _number(version):
            client.set_model_version_tag(name, former.version, CHAMPION, "false")
    _describe(name, version.version, description)
    return version


def _describe(name: str, version: str, description: str) -> None:
    """Tell people of the new champion. If the server does not take it, that is a note: the version is registered."""
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    try:
        client.update_model_version(name, version, description)
        client.update_registered_model(name, description)
    except MlflowException as error:
        print(f"note: {name} has no description: {' '.join(str(error).split())}")
    with suppress(MlflowException):  # Azure has no aliases
        client.set_registered_model_alias(name, CHAMPION, version)


def _champions(name: str) -> list[ModelVersion]:
    return [version for version in _versions(name) if version.tags.get(CHAMPION, "").lower() == "true"]


def _versions(name: str) -> list[ModelVersion]:
    import mlflow
    from mlflow.exceptions import MlflowException

    client, token = mlflow.MlflowClient(), None
    versions: list[ModelVersion] = []
    while True:
        try:
            page = client.search_model_versions(f"name='{name}'", page_token=token)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        versions += page
        token = page.token
        if not token:
            return versions


def _number(version: ModelVersion) -> int:
    return int(version.version)  # MLflow gives strings, and "10" < "9"
