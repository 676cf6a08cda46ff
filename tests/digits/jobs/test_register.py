"""The gate at work in a registry: who becomes champion, who does not, and why."""

import json
import shutil
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from digits.jobs import evaluate, register, registry
from digits.network import package


@pytest.fixture(scope="module")
def worse(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model with noise on its weights: a model made worse on purpose."""
    return variant(trained, tmp_path_factory.mktemp("worse"), noise=0.25)


@pytest.fixture(scope="module")
def similar(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers a few digits differently."""
    return variant(trained, tmp_path_factory.mktemp("similar"), noise=0.01)


def variant(trained: Path, folder: Path, noise: float) -> Path:
    import keras

    model = keras.saving.load_model(trained / "data" / "model.keras")
    rng = np.random.default_rng(0)
    model.set_weights([w + noise * w.std() * rng.standard_normal(w.shape) for w in model.get_weights()])
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    (folder / "model.tflite").write_bytes(package.convert(model))
    return folder


@pytest.fixture
def gate(prepared: Path, tmp_path: Path):
    """Evaluates and judges a model folder, and returns the verdict as the job wrote it."""

    def judge(model: Path, name: str, threshold: float = 0.5) -> dict:
        evaluation, out = tmp_path / "evaluation", tmp_path / "verdict"
        folders = ["--data", str(prepared), "--model", str(model)]
        assert evaluate.main([*folders, "--out", str(evaluation)]) == 0
        arguments = ["--evaluation", str(evaluation), "--threshold", str(threshold), "--model-name", name]
        assert register.main([*folders, *arguments, "--out", str(out)]) == 0  # a refusal is a finished job
        return json.loads((out / "verdict.json").read_text())

    return judge


def champions(name: str) -> list[int]:
    versions = mlflow.MlflowClient().search_model_versions(f"name='{name}'")
    return sorted(int(v.version) for v in versions if v.tags.get("champion") == "true")


def test_the_first_model_becomes_champion(gate, trained: Path, capsys) -> None:
    verdict = gate(trained, "first")
    assert verdict["registered"] and verdict["version"] == 1 and verdict["model_name"] == "first"
    assert verdict["champion_version"] is verdict["champion_accuracy"] is verdict["mcnemar_p"] is None
    told = capsys.readouterr().out
    assert "REGISTERED first version 1" in told and "test digits right" in told
    version = mlflow.MlflowClient().get_model_version("first", "1")
    assert version.tags["champion"] == "true"
    assert float(version.tags["accuracy"]) == pytest.approx(verdict["accuracy"], abs=1e-4)
    assert "MNIST" in version.tags["source.test"] and version.tags["trained.network"] == "default"
    run = mlflow.get_run(version.run_id)
    assert run.data.tags["verdict"] == "registered" and run.data.metrics["accuracy"] == verdict["accuracy"]


def test_people_are_told_what_the_champion_is(gate, trained: Path, similar: Path) -> None:
    gate(trained, "told")
    verdict = gate(similar, "told")
    client = mlflow.MlflowClient()
    model, version = client.get_registered_model("told"), client.get_model_version("told", "2")
    assert {alias: int(number) for alias, number in model.aliases.items()} == {"champion": 2}
    assert int(client.get_model_version_by_alias("told", "champion").version) == 2
    said = model.description
    assert said == version.description != client.get_model_version("told", "1").description
    assert f"{verdict['accuracy']:.2%}, of 400" in said and "MNIST" in said and "network default" in said
    assert f"[{version.run_id}](#/experiments/" in said
    assert f"get-artifact?path=confusion.png&run_uuid={version.run_id}" in said
    assert mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="confusion.png")


@pytest.mark.parametrize("missing", ["set_registered_model_alias", "update_registered_model", "update_model_version"])
def test_a_server_without_aliases_or_descriptions_registers_it(
    gate, trained: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure answers 404 where MLflow has aliases."""

    def answer(*_: object, **__: object) -> None:
        raise MlflowException("API request failed with error code 404")

    monkeypatch.setattr(mlflow.MlflowClient, missing, answer)
    assert gate(trained, f"without-{missing}")["registered"] and champions(f"without-{missing}") == [1]


def test_the_registered_model_is_the_folder(gate, trained: Path, tmp_path: Path) -> None:
    gate(trained, "folder")
    (tmp_path / "fetched").mkdir()
    fetched = Path(mlflow.artifacts.download_artifacts("models:/folder/1", dst_path=str(tmp_path / "fetched")))
    for file in (p for p in trained.rglob("*") if p.is_file()):
        assert (fetched / file.relative_to(trained)).read_bytes() == file.read_bytes()


def test_the_champion_itself_is_not_registered_twice(gate, trained: Path, capsys) -> None:
    gate(trained, "once")
    verdict = gate(trained, "once")
    assert not verdict["registered"] and verdict["version"] == 1
    assert "it is version 1, the champion, already" in capsys.readouterr().out
    assert champions("once") == [1]


def test_below_the_threshold_is_refused(gate, trained: Path, capsys) -> None:
    verdict = gate(trained, "low", threshold=0.999)
    assert not verdict["registered"] and verdict["version"] is None
    assert "below the threshold of 99.90%" in verdict["reason"]
    assert "NOT REGISTERED" in capsys.readouterr().out
    assert mlflow.MlflowClient().search_model_versions("name='low'") == []


def test_a_model_made_worse_is_refused_and_the_champion_serves_on(gate, trained: Path, worse: Path, capsys) -> None:
    gate(trained, "guarded")
    verdict = gate(worse, "guarded", threshold=0.1)
    assert not verdict["registered"] and verdict["champion_version"] == 1
    assert "significantly worse" in verdict["reason"]
    assert verdict["accuracy"] < verdict["champion_accuracy"] - 0.002 and verdict["mcnemar_p"] < 0.05
    assert "version 1 stays champion" in capsys.readouterr().out
    assert champions("guarded") == [1]


def test_one_within_noise_of_the_champion_takes_its_place(gate, trained: Path, similar: Path) -> None:
    gate(trained, "moving")
    verdict = gate(similar, "moving")
    assert verdict["registered"] and verdict["version"] == 2 and verdict["champion_version"] == 1
    assert champions("moving") == [2]
    assert mlflow.MlflowClient().get_model_version("moving", "1").tags["champion"] == "false"


def test_the_champion_is_the_latest_tagged_by_number(gate, trained: Path) -> None:
    gate(trained, "many")
    client = mlflow.MlflowClient()
    source = client.get_model_version("many", "1").source
    for _ in range(10):
        client.create_model_version("many", source, tags={"champion": "true"})
    client.create_model_version("many", source)  # somebody's own, untagged
    assert registry.champion("many").version == 11  # and not 9, which is last among strings
    client.delete_model_version_tag("many", "1", registry.FINGERPRINT)  # so that it is news
    assert gate(trained, "many")["champion_version"] == 11
    assert champions("many") == [13]


def test_a_model_that_another_has_taken_the_place_of_does_not_come_back(gate, trained: Path) -> None:
    gate(trained, "replaced")
    client = mlflow.MlflowClient()
    source = client.get_model_version("replaced", "1").source
    client.create_model_version("replaced", source, tags={"champion": "true"})
    verdict = gate(trained, "replaced")
    assert not verdict["registered"] and verdict["version"] == 1 and verdict["champion_version"] == 2
    assert verdict["reason"] == "it is version 1 already, and version 2 is champion since"
    assert registry.champion("replaced").version == 2


def test_a_model_that_is_known_is_named_even_if_the_champion_is_better(gate, trained: Path, worse: Path) -> None:
    gate(worse, "bettered", threshold=0.1)
    gate(trained, "bettered")
    verdict = gate(worse, "bettered", threshold=0.1)
    assert not verdict["registered"] and verdict["version"] == 1 and verdict["champion_version"] == 2
    assert "significantly worse" in verdict["reason"]
    assert verdict["reason"].endswith("; it is version 1 already, and version 2 is champion since")


@pytest.mark.parametrize("flaw", ["gone", "no lite form", "another input"])
def test_a_champion_that_cannot_be_compared_is_a_refusal_that_says_what_to_do(
    gate, trained: Path, tmp_path: Path, flaw: str
) -> None:
    name = flaw.replace(" ", "_")
    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    if flaw == "no lite form":
        (broken / "model.tflite").unlink()
    if flaw == "another input":
        import keras
        import tensorflow as tf

        small = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="softmax")])
        (broken / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(small).convert())
    client = mlflow.MlflowClient()
    client.create_registered_model(name)
    client.create_model_version(name, broken.as_uri(), tags={"champion": "true"})
    if flaw == "gone":
        shutil.rmtree(broken)
    verdict = gate(trained, name)
    assert not verdict["registered"] and verdict["champion_version"] == 1
    assert "cannot be compared" in verdict["reason"] and "champion=false" in verdict["reason"]
    client.set_model_version_tag(name, "1", "champion", "false")
    assert gate(trained, name)["registered"]


def test_two_registrations_at_once_make_two_whole_versions(prepared: Path, trained: Path, tmp_path: Path) -> None:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("tests").experiment_id
    start, made, errors = threading.Barrier(2), [], []

    def one() -> None:
        try:
            with mlflow.start_run(experiment_id=experiment) as run:
                start.wait()
                made.append(int(registry.register("raced", trained, run.info.run_id, {}).version))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and sorted(made) == [1, 2]
    assert max(champions("raced")) == 2
    assert registry.champion("raced").version == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--threshold", "97"], "0.97"),
        (["--threshold", "high"], "between 0 and 1"),
        (["--model-name", "my digits"], "letters"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: list[str], told: str, capsys) -> None:
    with pytest.raises(SystemExit) as error:
        register.main(["--data", "d", "--model", "m", "--evaluation", "e", "--out", "o", *arguments])
    assert error.value.code == 2
    assert told in capsys.readouterr().err


def test_predictions_of_another_model_do_not_pass(prepared, trained, evaluated, worse, tmp_path, capsys) -> None:
    folders = ["--data", str(prepared), "--model", str(worse), "--evaluation", str(evaluated)]
    assert register.main([*folders, "--out", str(tmp_path / "verdict"), "--model-name", "cheated"]) == 1
    assert "another model" in capsys.readouterr().err
    assert not (tmp_path / "verdict").exists()
