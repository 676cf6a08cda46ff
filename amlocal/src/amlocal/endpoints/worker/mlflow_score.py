"""The scoring script of MLflow models that are deployed without one, answering as Azure's no-code deployment does.

A request is `{"input_data": ...}`, holding rows or `{"columns", "index", "data"}`, or one of MLflow's own forms; the
answer is the predictions alone, as a list
(https://learn.microsoft.com/azure/machine-learning/how-to-deploy-mlflow-models#inference-in-azure-machine-learning).
It runs in the model's own environment and imports nothing of this package.
"""

import json
import os
from pathlib import Path
from typing import Any

model: Any
schema: Any


def init() -> None:
    global model, schema
    import mlflow

    found = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel"))
    model = mlflow.pyfunc.load_model(str(found[0].parent))
    schema = model.metadata.get_input_schema()


def run(raw_data: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        data = parse(json.loads(raw_data))
    except RecursionError:
        return refusal("the body is JSON that is nested too deep to be read")
    except (ValueError, TypeError, KeyError, MlflowException) as error:
        return refusal(str(error))
    return plain(model.predict(data))


def parse(body: Any) -> Any:
    """What the model is to be called with: a data frame or arrays, as its signature wants. Raises ValueError."""
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    if not isinstance(body, dict):
        raise ValueError('the body must be a JSON object with the key "input_data"')
    if "input_data" in body:
        data = body["input_data"]
        if isinstance(data, dict) and {"columns", "data"} <= data.keys():
            body = {"dataframe_split": data}
        elif isinstance(data, list) and schema is not None and not schema.is_tensor_spec():
            body = {"dataframe_split": {"columns": schema.input_names(), "data": data}}
        else:
            body = {"inputs": data}
    return infer_and_parse_data(body, schema)


def plain(predictions: Any) -> Any:
    """Predictions as JSON knows them: a list, of records where they have columns."""
    if hasattr(predictions, "to_dict") and hasattr(predictions, "columns"):
        return predictions.to_dict(orient="records")
    return predictions.tolist() if hasattr(predictions, "tolist") else predictions


def refusal(message: str) -> Any:
    from azureml_inference_server_http.api.aml_response import AMLResponse

    return AMLResponse({"message": message}, 400, json_str=True)
