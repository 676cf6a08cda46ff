"""What the processes of a distributed job find in their environments."""

import json
import socket

import pytest

from amlocal.core.errors import UserError
from amlocal.specs.distribution import processes


def test_pytorch_ranks_count_over_the_nodes() -> None:
    found = processes("pytorch", {"type": "pytorch", "process_count_per_instance": 2}, 2)
    assert [p["RANK"] for p in found] == ["0", "1", "2", "3"]
    assert [p["LOCAL_RANK"] for p in found] == ["0", "1", "0", "1"]
    assert [p["NODE_RANK"] for p in found] == ["0", "0", "1", "1"]
    assert {p["WORLD_SIZE"] for p in found} == {"4"}
    assert len({(p["MASTER_ADDR"], p["MASTER_PORT"]) for p in found}) == 1
    with socket.create_server((found[0]["MASTER_ADDR"], int(found[0]["MASTER_PORT"]))):
        pass  # nobody else is there


def test_mpi_has_open_mpis_names() -> None:
    found = processes("MPI", {"process_count_per_instance": 1}, 3)
    assert [p["OMPI_COMM_WORLD_RANK"] for p in found] == ["0", "1", "2"]
    assert {p["OMPI_COMM_WORLD_SIZE"] for p in found} == {"3"}
    assert {p["OMPI_COMM_WORLD_LOCAL_RANK"] for p in found} == {"0"}


def test_tensorflow_describes_the_same_cluster_to_everyone() -> None:
    found = [json.loads(p["TF_CONFIG"]) for p in processes("tensorflow", {"parameter_server_count": 1}, 2)]
    assert [config["task"] for config in found] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
        {"type": "ps", "index": 0},
    ]
    assert found[0]["cluster"] == found[1]["cluster"] == found[2]["cluster"]
    addresses = [address for members in found[0]["cluster"].values() for address in members]
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_a_worker_count_takes_the_place_of_the_instances() -> None:
    found = processes("tensorflow", {"worker_count": 3}, 1)
    assert len(found) == 3
    assert list(json.loads(found[0]["TF_CONFIG"])["cluster"]) == ["worker"]


@pytest.mark.parametrize(("kind", "spec"), [("ray", {}), ("mpi", {"process_count_per_instance": 0})])
def test_what_cannot_be_made_is_said(kind: str, spec: dict[str, int]) -> None:
    with pytest.raises(UserError, match="distribution"):
        processes(kind, spec, 1)
