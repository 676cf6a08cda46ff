"""What fixtures of any scope are made of: this process takes the double for Azure, and a real client on it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from double import Double
from double.identity import token


class Credential:
    """Answers for a token without asking anybody."""

    def get_token(self, *scopes: str, **_: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken(token(scopes[0] if scopes else ""), 4_000_000_000)


@contextmanager
def started(folder: Path) -> Iterator[Double]:
    """A started double, for which this process and those it starts take Azure. It must have known every request."""
    from azure.ai.ml.constants._common import LROConfigurations
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields
    from azure.ai.ml.operations._run_history_constants import RunHistoryConstants

    resolve = socket.getaddrinfo

    def resolve_localhost(host: Any, *arguments: Any, **keywords: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch, Double(folder) as double:
        patch.setattr(socket, "getaddrinfo", resolve_localhost)
        for name, value in double.environment.items():
            patch.setenv(name, value)
        # Look at jobs and template deployments again at once; the environment is too late for what is imported.
        patch.setattr(LROConfigurations, "SLEEP_TIME", 0.05)
        patch.setattr(RunHistoryConstants, "_WAIT_COMPLETION_POLLING_INTERVAL_MIN", 0)
        patch.setattr(RunHistoryConstants, "_WAIT_COMPLETION_POLLING_INTERVAL_MAX", 1)
        # The client writes a call's deployment and key into this one dictionary, and sends them with the next call.
        patch.setattr(EndpointInvokeFields, "DEFAULT_HEADER", dict(EndpointInvokeFields.DEFAULT_HEADER))
        yield double
    assert double.unknown == [], "\n".join(map(str, double.unknown))


def client_of(double: Double, workspace: str | None = Double.workspace) -> Any:
    """A real MLClient on the double, of one of its workspaces."""
    from azure.ai.ml import MLClient

    return MLClient(
        Credential(),
        double.subscription,
        double.resource_group,
        workspace,
        cloud="FakeCloud",
        polling_interval=0.05,
        enable_telemetry=False,
        show_progress=False,
    )
