"""A Keras network as an ONNX graph, layer by layer: no converter is needed that would pin TensorFlow's past.

    python onnx_model.py LAYERS.npz MODEL.onnx      # in the peers' environment, which has onnx and no Keras

`layers` says, with Keras, what the network is; `graph` builds it, with onnx. Images go through channels last, as in
Keras, except where ONNX knows channels first only.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

Layer = tuple[dict[str, Any], list[np.ndarray]]


def layers(model: Any) -> list[Layer]:
    """What each layer of a Keras network does, and its weights. Raises ValueError for one that is not known here."""
    found: list[Layer] = []
    for layer in model.layers:
        kind, weights = type(layer).__name__, [np.asarray(each) for each in layer.weights]
        told: dict[str, Any] = {"kind": kind}
        if kind == "InputLayer" or kind == "Dropout":
            continue
        if kind == "Rescaling":
            told |= {"scale": float(layer.scale), "offset": float(layer.offset)}
        elif kind == "Reshape":
            told["shape"] = list(layer.target_shape)
        elif kind == "BatchNormalization":
            # gamma, beta, mean, variance -> a factor and a term, along the layer's axis
            trained = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
            gamma, beta, mean, variance = map(np.asarray, trained)
            factor = gamma / np.sqrt(variance + layer.epsilon)
            rank = len(layer.input.shape)
            shape = [-1 if axis == layer.axis % rank else 1 for axis in range(rank)]
            weights = [factor.reshape(shape[1:]), (beta - mean * factor).reshape(shape[1:])]
        elif kind == "Conv2D":
            told |= {"strides": list(layer.strides), "padding": layer.padding, "activation": layer.activation.__name__}
        elif kind == "MaxPooling2D":
            told |= {"size": list(layer.pool_size), "strides": list(layer.strides)}
        elif kind == "Dense":
            told["activation"] = layer.activation.__name__
        elif kind not in ("ReLU", "Flatten"):
            raise ValueError(f"layer {layer.name}: {kind} is not known to {Path(__file__).name}; add it there")
        found.append((told, weights))
    return found


def write_layers(model: Any, path: Path) -> None:
    found = layers(model)
    arrays = {f"{index}_{place}": w for index, (_, weights) in enumerate(found) for place, w in enumerate(weights)}
    np.savez(path, about=json.dumps([[told, len(weights)] for told, weights in found]), **arrays)


def read_layers(path: Path) -> list[Layer]:
    with np.load(path) as stored:
        about = json.loads(str(stored["about"]))
        return [(told, [stored[f"{index}_{n}"] for n in range(count)]) for index, (told, count) in enumerate(about)]


def graph(layers: list[Layer]) -> Any:
    """The network as an ONNX model: float32 `pixels` (n, 784) in, `probabilities` (n, 10) out."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants = [], []
    current = "pixels"

    def constant(value: np.ndarray) -> str:
        name = f"constant_{len(constants)}"
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(kind: str, *others: str, **options: Any) -> None:
        nonlocal current
        output = f"value_{len(nodes)}"
        nodes.append(helper.make_node(kind, [current, *others], [output], **options))
        current = output

    def floats(value: Any) -> str:
        return constant(np.asarray(value, np.float32))

    def activate(name: str) -> None:
        if name == "relu":
            add("Relu")
        elif name == "softmax":
            add("Softmax", axis=-1)
        elif name != "linear":
            raise ValueError(f"activation {name} is not known")

    for told, weights in layers:
        kind = told["kind"]
        if kind == "Rescaling":
            add("Mul", floats(told["scale"]))
            if told["offset"]:
                add("Add", floats(told["offset"]))
        elif kind in ("Reshape", "Flatten"):
            add("Reshape", constant(np.array([-1, *told.get("shape", [])] if kind == "Reshape" else [0, -1], np.int64)))
        elif kind == "BatchNormalization":
            add("Mul", floats(weights[0]))
            add("Add", floats(weights[1]))
        elif kind == "Conv2D":
            add("Transpose", perm=[0, 3, 1, 2])
            same = {"same": "SAME_UPPER", "valid": "VALID"}[told["padding"]]
            more = [floats(weights[1])] if len(weights) > 1 else []
            add("Conv", floats(weights[0].transpose(3, 2, 0, 1)), *more, strides=told["strides"], auto_pad=same)
            add("Transpose", perm=[0, 2, 3, 1])
            activate(told["activation"])
        elif kind == "MaxPooling2D":
            add("Transpose", perm=[0, 3, 1, 2])
            add("MaxPool", kernel_shape=told["size"], strides=told["strides"])
            add("Transpose", perm=[0, 2, 3, 1])
        elif kind == "Dense":
            add("MatMul", floats(weights[0]))
            add("Add", floats(weights[1]))
            activate(told["activation"])
        elif kind == "ReLU":
            add("Relu")
    nodes[-1].output[0] = "probabilities"
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 784])
    answers = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])
    made = helper.make_model(
        helper.make_graph(nodes, "digits", [pixels], [answers], constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    checker.check_model(made, full_check=True)
    return made


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(graph(read_layers(Path(sys.argv[1]))).SerializeToString())
