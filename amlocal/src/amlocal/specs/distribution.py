"""The processes of a distributed job, all on this machine: what each finds in its environment, as on Azure ML.

Variables: Microsoft's "Distributed training guide" for PyTorch and MPI (Open MPI's own names), TensorFlow's
"TF_CONFIG" for its multi-worker strategies. Nodes are imagined: `instances` of them, each with its processes, all on
loopback.
"""

import json
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.processes import free_ports

LOOPBACK = "127.0.0.1"


def processes(kind: str, spec: dict[str, Any], instances: int) -> list[dict[str, str]]:
    """The environment variables of every process, in the order of their ranks.

    kind: "tensorflow", "pytorch" or "mpi"; spec: the `distribution` as azure-ai-ml gives it; instances: its
    `resources.instance_count`. Raises UserError for another kind, and for counts that make no process.
    """
    kind = kind.lower()
    if kind == "tensorflow":
        return _tensorflow(spec, instances)
    if kind not in ("pytorch", "mpi"):
        raise UserError(f"distribution.type: {kind} is not emulated; mpi, pytorch and tensorflow are")
    per_node = _count(spec, "process_count_per_instance", 1, at_least=1)
    return _pytorch(per_node, instances) if kind == "pytorch" else _mpi(per_node, instances)


def _pytorch(per_node: int, nodes: int) -> list[dict[str, str]]:
    port = str(free_ports(1)[0])
    return [
        {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank % per_node),
            "NODE_RANK": str(rank // per_node),
            "WORLD_SIZE": str(per_node * nodes),
            "LOCAL_WORLD_SIZE": str(per_node),
            "MASTER_ADDR": LOOPBACK,
            "MASTER_PORT": port,
        }
        for rank in range(per_node * nodes)
    ]


def _mpi(per_node: int, nodes: int) -> list[dict[str, str]]:
    port = str(free_ports(1)[0])
    return [
        {
            "OMPI_COMM_WORLD_RANK": str(rank),
            "OMPI_COMM_WORLD_SIZE": str(per_node * nodes),
            "OMPI_COMM_WORLD_LOCAL_RANK": str(rank % per_node),
            "OMPI_COMM_WORLD_LOCAL_SIZE": str(per_node),
            "OMPI_COMM_WORLD_NODE_RANK": str(rank % per_node),  # Open MPI's: the rank *on* the node
            "OMPI_UNIVERSE_SIZE": str(per_node * nodes),
            # Azure sets these two for frameworks that make their own connections.
            "AZ_BATCHAI_MPI_MASTER_NODE": LOOPBACK,
            "AZ_BATCH_MASTER_NODE": f"{LOOPBACK}:{port}",
        }
        for rank in range(per_node * nodes)
    ]


def _tensorflow(spec: dict[str, Any], instances: int) -> list[dict[str, str]]:
    workers = _count(spec, "worker_count", instances, at_least=1)
    servers = _count(spec, "parameter_server_count", 0, at_least=0)
    addresses = [f"{LOOPBACK}:{port}" for port in free_ports(workers + servers)]
    cluster = {"worker": addresses[:workers]}
    if servers:
        cluster["ps"] = addresses[workers:]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": role, "index": index}, "environment": "cloud"})}
        for role, members in cluster.items()
        for index in range(len(members))
    ]


def _count(spec: dict[str, Any], name: str, default: int, at_least: int) -> int:
    value = spec.get(name)
    count = default if value is None else int(value)
    if count < at_least:
        raise UserError(f"distribution.{name}: {count} is less than {at_least}")
    return count
