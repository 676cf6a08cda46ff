"""The scoring script of MLflow models that are deployed without one; it answers as Azure's own does.

Azure's is `mlflow_score_script.py` in https://github.com/Azure/azureml-assets (environment mlflow-py312-inference, read
in July 2026). A request is `{"input_data": ..., "params": {...}}`. The model's input example, else its signature, says
what `input_data` becomes: a data frame in pandas' split form, an array, named arrays, or, for models of language, text.
The answer is the prediction alone. What cannot be parsed or predicted is Azure's 500, and its cause is in the log.

It runs in the model's own environment, whichever MLflow that has, and imports nothing of this package.
"""

import inspect
import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema
from mlflow.models import Model
from mlflow.pyfunc import load_model
from mlflow.types import ColSpec, DataType, Schema

logger = logging.getLogger(__name__)

SAMPLES = {
    DataType.boolean: True,
    DataType.string: "sample string",
    DataType.integer: 42,
    DataType.long: 42,
    DataType.float: 0.15,
    DataType.double: 0.15,
}


class AsIs(AbstractParameterType):
    """Whatever the request holds."""

    def __init__(self) -> None:
        super().__init__(None)

    def deserialize_input(self, input_data: Any) -> Any:
        return input_data

    def input_to_swagger(self) -> dict[str, Any]:
        return {"type": "object", "example": {}}


# -- what the model says it takes and gives


def model_folder() -> Path:
    """The folder of the model, the highest that has an MLmodel file: a model may hold others."""
    found = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel")
    return min(found, key=lambda path: (len(path.parts), path)).parent


def example(description: Model, folder: Path) -> Any:
    """The input example that was saved with the model, or None."""
    try:
        about = description.saved_input_example_info
        if not about:
            return None
        content = json.loads((folder / about["artifact_path"]).read_text(encoding="utf-8"))
        if about["type"] == "dataframe":
            orient: Any = "split" if "columns" in content else "values"
            return pd.read_json(io.StringIO(json.dumps(content)), orient=orient, dtype=False)
        if about["type"] == "ndarray":
            return arrays(content["inputs"])
        return content
    except Exception as error:
        logger.warning("The model's input example cannot be used, its signature is: %s", error)
        return None


def arrays(value: Any) -> Any:
    """An array, or arrays by their names."""
    if isinstance(value, dict):
        return {name: np.asarray(each) for name, each in value.items()}
    return np.asarray(value)


def sample_tensors(schema: Schema) -> Any:
    """Zeros in the shape of a schema of tensors, one of whatever they are batches of."""

    def zeros(spec: Any) -> Any:
        shape = list(spec.shape)
        return np.zeros([1, *shape[1:]] if shape and shape[0] == -1 else shape, dtype=spec.type)

    if not schema.has_input_names():
        return zeros(schema.inputs[0])
    return {spec.name: zeros(spec) for spec in schema.inputs}


def sample_frame(schema: Schema) -> Any:
    """A data frame without rows. Raises MlflowException for a column of something else than single values."""
    columns = (getattr(schema, "input_names", None) or getattr(schema, "column_names"))()  # noqa: B009 (before 1.24)
    return pd.DataFrame(columns=columns).astype(dict(zip(columns, schema.pandas_types(), strict=False)))


def sample_object(schema: Schema) -> Any:
    """What no data frame holds. Raises ValueError where the first column has no sample."""
    first = schema.inputs[0]
    if not isinstance(first, ColSpec) or first.name is None:
        return [SAMPLES[DataType.string]] if getattr(first, "type", None) == DataType.string else []
    samples: dict[Any, Any] = {}
    value = None
    for spec in schema.inputs:
        value = SAMPLES[spec.type] if isinstance(spec.type, DataType) and spec.type in SAMPLES else value
        if value is None:
            raise ValueError(f"{spec.name}: Azure's script has no sample of {spec.type}")
        samples[spec.name] = value  # what has no sample of its own takes the last one
    return samples


def sample_input(schema: Schema, given: Any) -> Any:
    """What a request of this schema looks like; given: the input example, or None."""
    named = isinstance(schema.inputs[0], ColSpec) and schema.inputs[0].name is not None
    if "transformers" in flavors and (named or schema == Schema([ColSpec("string")])):
        return sample_object(schema)
    if given is not None:
        return given
    if schema.is_tensor_spec():
        return sample_tensors(schema)
    try:
        return sample_frame(schema)
    except Exception:
        return sample_object(schema)


def sample_output(schema: Schema) -> Any:
    return sample_tensors(schema) if schema.is_tensor_spec() else sample_frame(schema)


def sample_params(schema: Any) -> dict[str, Any]:
    samples = {}
    for spec in schema.params:
        if spec.default is not None or spec.dtype in SAMPLES:
            samples[spec.name] = SAMPLES[spec.dtype] if spec.default is None else spec.default
    return samples


def input_type(sample: Any) -> AbstractParameterType:
    """How inference-schema reads an input."""
    if isinstance(sample, np.ndarray):
        return NumpyParameterType(sample, enforce_shape=False)
    if isinstance(sample, pd.DataFrame):
        return PandasParameterType(sample, enforce_shape=False, orient="split")
    if isinstance(sample, (dict, list)) and "transformers" in flavors:
        return StandardPythonParameterType(sample)
    return named_arrays(sample) if isinstance(sample, dict) else AsIs()


def output_type(sample: Any) -> AbstractParameterType:
    if isinstance(sample, np.ndarray):
        return NumpyParameterType(sample, enforce_shape=False)
    if isinstance(sample, dict):
        return named_arrays(sample)
    return AsIs() if sample is None else PandasParameterType(sample, enforce_shape=False, orient="records")


def named_arrays(sample: dict[str, Any]) -> AbstractParameterType:
    return StandardPythonParameterType(
        {name: NumpyParameterType(value, enforce_shape=False) for name, value in sample.items()}
    )


def types(description: Model, folder: Path) -> tuple[AbstractParameterType, ...]:
    """How inputs, outputs and params are read and described. Raises ValueError where Azure's script does not start."""
    given, signature = example(description, folder), description.signature
    part = "input example"
    try:
        if not signature:
            return described(input_type(given)), AsIs(), AsIs()
        part = "signature: inputs"
        inputs = described(input_type(sample_input(signature.inputs, given)))
        part = "signature: outputs"
        outputs = described(output_type(sample_output(signature.outputs) if signature.outputs else None))
        part = "signature: params"
        params = getattr(signature, "params", None)  # since MLflow 2.6
        return inputs, outputs, described(StandardPythonParameterType(sample_params(params))) if params else AsIs()
    except Exception as error:
        raise ValueError(
            f"the model's {part}: Azure cannot serve this model without a scoring script, its own fails here"
            f" ({type(error).__name__}: {error}); give the deployment a code_configuration"
        ) from error


def described(kind: AbstractParameterType) -> AbstractParameterType:
    """The same. Raises what the server's swagger.json would."""
    kind.input_to_swagger()
    return kind


folder = model_folder()
description = Model.load(str(folder))
flavors = description.flavors
LANGUAGE = bool({"transformers", "langchain", "openai"} & flavors.keys())
of_input, of_output, of_params = types(description, folder)

# -- requests

model: Any = None
takes_params = False
collectors: dict[str, Any] = {}


def init() -> None:
    global model, takes_params
    model = load_model(str(folder))
    takes_params = "params" in inspect.signature(model.predict).parameters  # since MLflow 2.6
    if "AZUREML_MDC_CONFIG_PATH" in os.environ:  # the deployment has a data_collector
        from azureml.ai.monitoring import Collector

        for name in ("model_inputs", "model_outputs"):
            try:
                collectors[name] = Collector(name=name)
            except Exception as error:
                # as on Azure: without model_inputs, model_outputs is not collected either
                logger.error("data_collector: %s: %s; enable both model_inputs and model_outputs", name, error)
                break


@input_schema("input_data", of_input)
@input_schema("params", of_params, optional=True)
@output_schema(of_output)
def run(input_data: Any, params: Any = None) -> Any:
    # models of the flavor hftransformersv2 took their parameters so
    if params is None and "parameters" in input_data and "transformers" in flavors:
        params = input_data.pop("parameters")
        if list(input_data) == ["input_string"]:
            input_data = input_data["input_string"]
    if not is_parsed(input_data):
        input_data = parse_language(input_data) if LANGUAGE else parse(input_data)
    context = collect("model_inputs", input_data, None)
    result = model.predict(input_data, params=params) if takes_params else model.predict(input_data)
    collect("model_outputs", result, context)
    return plain(result)


def is_parsed(value: Any) -> bool:
    """Whether inference-schema has made of the request what the model takes."""
    first = next(iter(value.values()), None) if isinstance(value, dict) else value
    return isinstance(first, np.ndarray) or isinstance(value, pd.DataFrame)


def collect(name: str, data: Any, context: Any) -> Any:
    """Hand data to a Collector, if there is one; what it refuses is told in the log. Returns the context for the next.

    As in Azure: of inputs data frames only, of outputs whatever makes a data frame.
    """
    collector = collectors.get(name)
    if collector is None:
        return context
    try:
        return collector.collect(pd.DataFrame(data) if name == "model_outputs" else data, context)
    except Exception as error:
        logger.error("%s: not collected: %s", name, error)
        return context


def parse(value: Any) -> Any:
    """Input of which neither signature nor example tells the form: a list is an array, an object named arrays."""
    if isinstance(value, str):
        value = json.loads(value)
    if "input_data" in value:
        value = value["input_data"]
    if "hftransformersv2" in flavors:
        return value
    if isinstance(value, list):
        return np.asarray(value)
    return frame(value) if is_split(value) else {name: np.asarray(each) for name, each in value.items()}


def parse_language(value: Any) -> Any:
    """The same for models of language: text stays text, alone, in lists and in objects."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict) and "input_data" in value:
        value = value["input_data"]
    if "hftransformersv2" in flavors:
        return value
    if isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            return value
        if all(isinstance(each, dict) for each in value):
            if all(map(is_text, value)):
                return value
            raise ValueError("input_data: the objects of a list must hold strings or lists of strings only")
        return np.asarray(value)
    if isinstance(value, dict) and not is_split(value) and not is_text(value):
        return {name: np.asarray(each) for name, each in value.items()}
    return frame(value) if is_split(value) else value


def is_split(value: Any) -> bool:
    return isinstance(value, dict) and {"columns", "index", "data"} <= value.keys()


def frame(value: Any) -> Any:
    return pd.read_json(io.StringIO(json.dumps(value)), orient="split", dtype=False)


def is_text(value: dict[str, Any]) -> bool:
    """Whether an object holds strings and lists of strings only."""
    return all(
        isinstance(each, str) or (isinstance(each, list) and all(isinstance(item, str) for item in each))
        for each in value.values()
    )


def plain(result: Any) -> Any:
    """A prediction as JSON knows it, as far as MLflow's own server makes it so: what else there is must be JSON."""
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, pd.Series):
        result = result.to_frame()
    return result.to_dict(orient="records") if isinstance(result, pd.DataFrame) else result
