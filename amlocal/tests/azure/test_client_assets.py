"""Compute, environments, data, models and components, by the real MLClient."""

from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from double import Double
from double.workspace import CONTAINER


def test_compute(ml_client: Any, double: Double) -> None:
    from azure.ai.ml.entities import AmlCompute

    cluster = AmlCompute(
        name="cpu", size="Standard_F4s_v2", min_instances=0, max_instances=1, idle_time_before_scale_down=180
    )
    made = ml_client.compute.begin_create_or_update(cluster).result()
    assert (made.name, made.size, made.max_instances, made.provisioning_state) == (
        "cpu",
        "Standard_F4s_v2",
        1,
        "Succeeded",
    )
    assert ml_client.compute.get("cpu").idle_time_before_scale_down == 180
    assert [one.name for one in ml_client.compute.list()] == ["cpu"]
    ml_client.compute.begin_delete("cpu").result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.compute.get("cpu")


def test_sizes_and_usage(ml_client: Any) -> None:
    """azure-ai-ml leaves some figures under the service's own names, where attributes do not find them."""
    sizes = {one.name: vars(one) for one in ml_client.compute.list_sizes()}
    assert sizes["Standard_F4s_v2"]["vCPUs"] == 4
    usages = {one.name["value"]: vars(one) for one in ml_client.compute.list_usage(location="westeurope")}
    assert (usages["standardFSv2Family"]["currentValue"], usages["standardFSv2Family"]["limit"]) == (0, 6)


def test_environment(ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Environment

    conda = tmp_path / "conda.yml"
    conda.write_text("dependencies: [python=3.11]\n")
    for version in ("1", "2"):
        ml_client.environments.create_or_update(
            Environment(name="training", version=version, image="ubuntu", conda_file=str(conda))
        )
    assert ml_client.environments.get("training", version="1").conda_file == {"dependencies": ["python=3.11"]}
    assert ml_client.environments.get("training", label="latest").version == "2"
    assert [one.version for one in ml_client.environments.list(name="training")] == ["2", "1"]
    assert [one.name for one in ml_client.environments.list()] == ["training"]


def test_a_list_longer_than_a_page(ml_client: Any, double: Double) -> None:
    for number in range(70):
        double.store.make(
            f"{double.workspace_id}/environments/e{number}/versions/1", {"properties": {"image": "ubuntu"}}
        )
    assert len({one.name for one in ml_client.environments.list()}) == 70
    assert len([one for one in double.requests if one.method == "GET" and one.path.endswith("/environments")]) == 3


def test_data_is_uploaded_once(ml_client: Any, double: Double, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Data

    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "a.npz").write_bytes(b"one")
    made = ml_client.data.create_or_update(Data(name="digits", version="1", path=str(folder), type="uri_folder"))
    assert made.path.startswith("azureml://subscriptions/")
    assert [name.rpartition("/")[2] for name in double.blobs.names(CONTAINER)] == ["a.npz"]

    double.requests.clear()
    ml_client.data.create_or_update(Data(name="digits", version="1", path=str(folder), type="uri_folder"))
    assert [one for one in double.requests if one.service == "blob" and one.method == "PUT"] == []
    assert [one.name for one in ml_client.data.list()] == ["digits"]

    ml_client.data.create_or_update(Data(name="one", path=str(folder / "a.npz"), type="uri_file"))
    assert ml_client.data.get("one", label="latest").type == "uri_file"


def test_a_data_version_keeps_its_content(ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Data

    path = tmp_path / "a.csv"
    for content in ("1", "2"):
        path.write_text(content)
        data = Data(name="table", version="1", path=str(path), type="uri_file")
        if content == "1":
            ml_client.data.create_or_update(data)
        else:
            with pytest.raises(HttpResponseError, match="Asset paths cannot be updated"):
                ml_client.data.create_or_update(data)


def test_upload_without_a_role_on_the_storage(ml_client: Any, double: Double, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Data
    from azure.ai.ml.exceptions import MlException

    double.blobs.denied = True
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(MlException, match="Storage Blob Data Contributor"):
        ml_client.data.create_or_update(Data(name="table", path=str(tmp_path / "a.csv"), type="uri_file"))


def test_model(ml_client: Any, double: Double, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Model

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    for _ in range(2):
        made = ml_client.models.create_or_update(
            Model(name="digits", path=str(folder), type="mlflow_model", tags={"a": "b"})
        )
    assert made.version == "2"
    assert ml_client.models.get("digits", label="latest").tags == {"a": "b"}
    assert [one.version for one in ml_client.models.list(name="digits")] == ["2", "1"]
    ml_client.models.archive("digits", version="1")
    assert [one.version for one in ml_client.models.list(name="digits")] == ["2"]
    ml_client.models.download("digits", version="2", download_path=tmp_path / "down")
    assert next((tmp_path / "down").rglob("MLmodel")).read_text() == "flavors: {}\n"


def test_component(ml_client: Any, double: Double, tmp_path: Path) -> None:
    from azure.ai.ml import load_component

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("print(1)")
    (tmp_path / "component.yml").write_text(
        "type: command\nname: writer\nversion: 1\ncode: code\nenvironment: {image: ubuntu}\n"
        "inputs: {rate: {type: number, default: 0.5}}\ncommand: python a.py ${{inputs.rate}}\n"
    )
    made = ml_client.components.create_or_update(load_component(tmp_path / "component.yml"))
    assert (made.name, made.version) == ("writer", "1")
    assert ml_client.components.get("writer", version="1").command == "python a.py ${{inputs.rate}}"
    assert [one.name for one in ml_client.components.list()] == ["writer"]
    assert "code/a.py" in [name for blobs in double.blobs.containers.values() for name in blobs]
