"""MLflow models that are deployed without a scoring script: what is read of each kind of file, what is written."""

import csv

import numpy as np
import pandas as pd
import pytest

from amlocal.batch import mlflow_driver


class Sum:
    """What mlflow.pyfunc gives, as far as the script uses it."""

    def __init__(self, schema=None):
        self.metadata = self
        self.schema = schema
        self.seen = []

    def get_input_schema(self):
        return self.schema

    def predict(self, data):
        self.seen.append(data)
        if isinstance(data, dict):
            [data] = data.values()
        return data.sum(axis=1) if hasattr(data, "columns") else np.array([int(data.sum())])


@pytest.fixture
def model(monkeypatch):
    def use(schema=None, predict=None):
        made = Sum(schema)
        if predict:
            made.predict = predict
        monkeypatch.setattr(mlflow_driver, "model", made, raising=False)
        monkeypatch.setattr(mlflow_driver, "schema", schema, raising=False)
        return made

    return use


def test_a_line_for_every_row_of_every_table(model, tmp_path):
    model()
    frame = pd.DataFrame({"a": [1, 2], "b": [10, 20]})
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.to_parquet(tmp_path / "two.parquet")
    files = [str(tmp_path / "one.csv"), str(tmp_path / "two.parquet")]
    assert mlflow_driver.run(files) == ["0,11,one.csv", "1,22,one.csv", "0,11,two.parquet", "1,22,two.parquet"]


def test_texts_of_the_signature_stay_texts(model, tmp_path):
    from mlflow.types.schema import ColSpec, Schema

    made = model(Schema([ColSpec("string", "code"), ColSpec("long", "n")]), predict=lambda data: data["code"].tolist())
    (tmp_path / "a.csv").write_text("code,n\n007,1\n")
    assert mlflow_driver.run([str(tmp_path / "a.csv")]) == ["0,007,a.csv"]
    assert made.schema.input_names() == ["code", "n"]


def test_numbers_have_the_types_of_the_signature(model, tmp_path):
    """A whole number is a double where the signature says so: MLflow itself refuses to make one of a long."""
    from mlflow.types.schema import ColSpec, Schema

    columns = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
    model(Schema([ColSpec(kind, kind[0]) for kind in columns]))
    (tmp_path / "a.csv").write_text("d,f,l,i,b\n1,2,3,4,True\n")
    read = mlflow_driver.table(tmp_path / "a.csv")
    assert [str(kind) for kind in read.dtypes] == list(columns.values())
    (tmp_path / "b.csv").write_text("d,f,l,i,b\n1,2,value,4,True\n")
    with pytest.raises(RuntimeError, match=r"input file: '.*b.csv'. Exception: invalid literal for int\(\)"):
        mlflow_driver.run([str(tmp_path / "b.csv")])


def test_several_columns_and_commas_are_one_cell(model, tmp_path):
    answer = pd.DataFrame({"label": ["a,b"], "score": [0.5]})
    model(predict=lambda data: answer)
    (tmp_path / "a.csv").write_text("n\n1\n")
    [line] = mlflow_driver.run([str(tmp_path / "a.csv")])
    assert next(csv.reader([line])) == ["0", '{"label": "a,b", "score": 0.5}', "a.csv"]


def test_an_image_is_an_array_of_the_signature(model, tmp_path):
    image = pytest.importorskip("PIL.Image")
    from mlflow.types.schema import Schema, TensorSpec

    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    image.fromarray(pixels).save(tmp_path / "a.png")
    file = str(tmp_path / "a.png")

    made = model()
    assert mlflow_driver.run([file]) == ["66,a.png"]
    assert made.seen[0].shape == (1, 2, 2, 3) and made.seen[0].dtype == np.uint8

    made = model(Schema([TensorSpec(np.dtype("float32"), (-1, 12))]))
    assert mlflow_driver.run([file]) == ["66,a.png"]
    assert made.seen[0].shape == (1, 12) and made.seen[0].dtype == np.float32

    made = model(Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1, 3), name="picture")]))
    assert mlflow_driver.run([file]) == ["66,a.png"]
    assert made.seen[0]["picture"].shape == (1, 2, 2, 3)


def test_what_cannot_be_read_is_named(model, tmp_path):
    model()
    (tmp_path / "a.avro").write_text("")
    with pytest.raises(RuntimeError, match=r"input file: '.*a.avro'. File type 'avro' is not supported"):
        mlflow_driver.run([str(tmp_path / "a.avro")])
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(RuntimeError, match=r"input file: '.*b.csv'. Exception: "):
        mlflow_driver.run([str(tmp_path / "b.csv")])
