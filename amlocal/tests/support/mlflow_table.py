"""Models and requests by which scoring scripts for MLflow models are compared.

    python mlflow_table.py SCRIPT FOLDER ANSWERS

makes the models in FOLDER and writes what SCRIPT, in Azure's server, answers to the file ANSWERS. `mlflow_answers.json`
beside this file was made so with Azure's own script: mlflow_score_script.py of Azure/azureml-assets, July 2026, under
mlflow 3.15, pandas 2.3 and azureml-inference-server-http 1.4.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, DataType

COLUMNS = Schema(
    [
        ColSpec("double", "x"),
        ColSpec("long", "n"),
        ColSpec("string", "s"),
        ColSpec("datetime", "t", required=False),
        ColSpec("boolean", "b", required=False),
    ]
)
WORDS = Schema([ColSpec("string", "question"), ColSpec("string", "context")])
TENSORS = Schema([TensorSpec(np.dtype("float32"), (-1, 2), "a"), TensorSpec(np.dtype("int64"), (-1,), "b")])
SIGNATURES = {
    "no-signature": None,
    "columns": ModelSignature(COLUMNS),
    "words": ModelSignature(WORDS),
    "tensor": ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))])),
    "tensors": ModelSignature(TENSORS),
    "string": ModelSignature(Schema([ColSpec("string")])),
    "binary": ModelSignature(Schema([ColSpec("binary", "image")])),
    "array": ModelSignature(Schema([ColSpec(Array(DataType.string), "words")])),
    "params": ModelSignature(
        COLUMNS, params=ParamSchema([ParamSpec("temperature", "double", 0.1), ParamSpec("k", "long", 1)])
    ),
    "output-columns": ModelSignature(COLUMNS, Schema([ColSpec("double", "x"), ColSpec("string", "s")])),
    "output-unnamed": ModelSignature(COLUMNS, Schema([ColSpec("long")])),
    "output-times": ModelSignature(COLUMNS, Schema([ColSpec("datetime", "when")])),
    "output-tensor": ModelSignature(COLUMNS, Schema([TensorSpec(np.dtype("float32"), (-1, 3))])),
    "output-tensors": ModelSignature(COLUMNS, TENSORS),
    "output-array": ModelSignature(COLUMNS, Schema([ColSpec(Array(DataType.string), "words")])),
}
EXAMPLES = {
    "example-frame": (pd.DataFrame({"x": [1.5], "n": [2], "s": ["a"]}), ModelSignature(COLUMNS)),
    "example-array": (np.ones((1, 2)), False),
    "example-arrays": ({"a": np.ones((1, 2), "float32"), "b": np.ones(1, "int64")}, ModelSignature(TENSORS)),
    "example-list": (["a", "b"], ModelSignature(Schema([ColSpec("string")]))),
    "example-dict": ({"question": "why", "context": "so"}, ModelSignature(WORDS)),
}
FLAVORS = {
    "transformers": ("no-signature", "string", "words", "columns", "params", "tensor", "example-dict", "array"),
    "langchain": ("no-signature", "string"),
    "openai": ("no-signature",),
    "hftransformersv2": ("no-signature", "columns"),
}
PREDICTIONS = {
    "array": lambda n: np.arange(2.0 * n).reshape(n, 2),
    "array-of-bytes": lambda n: np.array([b"x"] * n),
    "array-of-objects": lambda n: np.array([{"a": 1}] * n, dtype=object),
    "array-of-times": lambda n: np.array(["2024-01-05"] * n, dtype="datetime64[ns]"),
    "array-with-nan": lambda n: np.array([np.nan] * n),
    "bytes": lambda n: [b"x"] * n,
    "dict": lambda n: {"a": [1.0] * n, "b": "x"},
    "dict-of-arrays": lambda n: {"a": np.arange(n)},
    "error": lambda n: 1 / 0,
    "frame": lambda n: pd.DataFrame({"a": range(n), "b": ["x"] * n}),
    "frame-of-categories": lambda n: pd.DataFrame({"c": pd.Categorical(["x"] * n)}),
    "frame-of-times": lambda n: pd.DataFrame({"when": pd.to_datetime(["2024-01-05"] * n)}),
    "frame-with-nan": lambda n: pd.DataFrame({"a": [float("nan")] * n, "b": [None] * n}),
    "generator": lambda n: (i for i in range(n)),
    "index": lambda n: pd.Index([1, 2]),
    "infinity": lambda n: [float("inf")] * n,
    "list": lambda n: [1, "x", None, True, 2.5] * n,
    "list-of-arrays": lambda n: [np.arange(2)] * n,
    "list-of-dicts": lambda n: [{"label": "POSITIVE", "score": 0.5}] * n,
    "list-of-numpy-numbers": lambda n: [np.int64(i) for i in range(n)],
    "none": lambda n: None,
    "numpy-number": lambda n: np.float32(1.5),
    "series": lambda n: pd.Series([7] * n),
    "series-with-a-name": lambda n: pd.Series([7.5] * n, name="score"),
    "set": lambda n: {1},
    "sparse": lambda n: __import__("scipy.sparse").sparse.csr_matrix(np.eye(n)),
    "string": lambda n: "é",
    "structured": lambda n: np.array([(1, 2.5)] * n, dtype=[("a", "i4"), ("b", "f8")]),
    "time": lambda n: [pd.Timestamp("2024-01-05")] * n,
    "tuple": lambda n: (1, 2),
}

ROW = {"x": 1.5, "n": 2, "s": "a"}
SPLIT = {"columns": ["x", "n", "s"], "index": [0], "data": [[1.5, 2, "a"]]}
INPUTS = {
    "split": SPLIT,
    "split-base64": {"columns": ["image"], "index": [0], "data": [["aGVsbG8="]]},
    "split-integer-for-float": {**SPLIT, "data": [[1, 2, "a"]]},
    "split-lists": {"columns": ["words"], "index": [0], "data": [[["a", "b"]]]},
    "split-missing-column": {"columns": ["x"], "index": [0], "data": [[1.5]]},
    "split-more-columns": {"columns": ["x", "n", "s", "more"], "index": [0], "data": [[1.5, 2, "a", 1]]},
    "split-no-index": {"columns": ["x", "n", "s"], "data": [[1.5, 2, "a"]]},
    "split-nulls": {**SPLIT, "index": [5, 3], "data": [[1.5, 2, "a"], [None, 3, None]]},
    "split-ragged": {**SPLIT, "data": [[1.5]]},
    "split-times": {"columns": [*"xnstb"], "index": [0], "data": [[1.5, 2, "a", "2024-01-05T10:00:00", True]]},
    "split-words": {"columns": ["question", "context"], "index": [0], "data": [["why", "so"]]},
    "split-wrong-type": {**SPLIT, "data": [["no", 2, "a"]]},
    "columns": {name: [value] for name, value in ROW.items()},
    "record": ROW,
    "records": [ROW],
    "rows": [[1.0, 2.0]],
    "rows-mixed": [[1.5, 2, "a"]],
    "rows-ragged": [[1.0], [1.0, 2.0]],
    "numbers": [1, 2],
    "number": 3,
    "true": True,
    "null": None,
    "named": {"a": [[1, 2]], "b": [3]},
    "named-missing": {"a": [[1, 2]]},
    "named-scalar": {"a": 1},
    "string": "hello",
    "string-of-json": "[[1.0, 2.0]]",
    "strings": ["hello", "you"],
    "strings-by-name": {"question": "why", "context": "so"},
    "lists-of-strings-by-name": {"question": ["why"], "context": ["so"]},
    "objects-of-strings": [{"question": "why", "context": "so"}],
    "objects-of-numbers": [{"a": 1}],
    "input_string": {"input_string": ["hello"], "parameters": {"k": 3}},
    "input_string-object": {"input_string": {"question": "why"}, "parameters": {"k": 3}},
    "nested": {"input_data": [[1.0, 2.0]]},
    "empty-list": [],
    "empty-object": {},
}
PARAMS = {
    "params": {"temperature": 0.9},
    "params-integers": {"temperature": 1, "k": 2},
    "params-wrong-type": {"temperature": "hot"},
    "params-unknown": {"other": 1},
    "params-list": [1],
    "params-null": None,
    "params-empty": {},
}
REQUESTS = {
    **{name: json.dumps({"input_data": value}) for name, value in INPUTS.items()},
    **{name: json.dumps({"input_data": SPLIT, "params": value}) for name, value in PARAMS.items()},
    "params-rows": json.dumps({"input_data": [[1.0, 2.0]], "params": {"k": 3}}),
    "params-string": json.dumps({"input_data": "hello", "params": {"k": 3}}),
    "key-more": json.dumps({"input_data": SPLIT, "more": 1}),
    "key-inputs": json.dumps({"inputs": [[1.0, 2.0]]}),
    "key-dataframe_split": json.dumps({"dataframe_split": SPLIT}),
    "no-key": "{}",
    "no-object": "[[1.0, 2.0]]",
    "no-json": "{",
    "no-body": "",
    "nan": '{"input_data": [[NaN, 2.0]]}',
}


def told(value):
    """What predict was given, in a few words."""
    if isinstance(value, pd.DataFrame):
        return ["DataFrame", " ".join(map(str, value.dtypes)), str(value.to_dict("split"))]
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), str(value.tolist())]
    if isinstance(value, dict):
        return {name: told(each) for name, each in value.items()}
    return repr(value)


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [told(model_input), params]


class Answer(mlflow.pyfunc.PythonModel):
    def __init__(self, name):
        self.name = name

    def predict(self, context, model_input, params=None):
        return PREDICTIONS[self.name](len(model_input))


def save_models(root):
    """Every model of the table, each in a folder of its name."""

    def save(name, model, **options):
        mlflow.pyfunc.save_model(root / name, python_model=model, pip_requirements=["mlflow"], **options)

    for name, signature in SIGNATURES.items():
        save(name, Echo(), signature=signature)
    for name, (example, signature) in EXAMPLES.items():
        save(name, Echo(), input_example=example, signature=signature)
    for name in PREDICTIONS:
        save(f"predicts-{name}", Answer(name))
    for flavor, names in FLAVORS.items():
        for name in names:
            shutil.copytree(root / name, root / f"{flavor}-{name}")
            file = root / f"{flavor}-{name}" / "MLmodel"
            content = yaml.safe_load(file.read_text())
            content["flavors"][flavor] = {}
            file.write_text(yaml.safe_dump(content))


def ask(script, models):
    """What the script answers, in Azure's server: {model: {request: text of a good answer, or the status of another}}.

    A model that the script does not start with has null.
    """
    os.environ |= {"AML_APP_ROOT": str(script.parent), "AZUREML_ENTRY_SCRIPT": script.name}
    from azureml_inference_server_http.server.create_app import create
    from inference_schema import schema_util

    answers = {}
    for folder in sorted(models.iterdir()):
        # Azure's script finds the model by the two, ours by the first
        os.environ |= {"AZUREML_MODEL_DIR": str(folder), "MLFLOW_MODEL_FOLDER": ""}
        schema_util.__functions_schema__.clear()
        schema_util.__versions__.clear()
        try:
            client = create().test_client()
        except SystemExit:
            answers[folder.name] = None
            continue
        told = answers[folder.name] = {}
        for name, body in REQUESTS.items() if not folder.name.startswith("predicts-") else [("rows", REQUESTS["rows"])]:
            answer = client.post("/score", data=body, content_type="application/json")
            text = answer.get_data(as_text=True)
            told[name] = text if answer.status_code == 200 else answer.status_code
        told["swagger"] = client.get("/swagger.json?version=3").status_code
    return answers


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import mlflow_table  # so that the models are pickled by a name that can be imported

    script, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    mlflow_table.save_models(folder)
    Path(sys.argv[3]).write_text(json.dumps(mlflow_table.ask(script, folder), indent=1) + "\n", encoding="utf-8")
