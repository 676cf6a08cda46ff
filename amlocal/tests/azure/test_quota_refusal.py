"""Which of Azure's refusals are about quota, in Azure's own words; and all the others, which must not fall back."""

import pytest

from amlocal.azure.quota_refusal import quota_refusal

SUBSCRIPTION = "0f0f0f0f-1111-2222-3333-444444444444"
AT_ONCE = (
    "(BadRequest) The request is invalid.\\nCode: BadRequest\\nMessage: The request is invalid.\\nException Details:\\t"
    "(InferencingClientCreateDeploymentFailed) InferencingClient HttpRequest error, error detail: "
    '{"errors":{"VmSize":["Not enough quota available for Standard_F4s_v2 in SubscriptionId ' + SUBSCRIPTION + ". "
    "Current usage/limit: 0/6. Additional needed: 8\\r\\nPlease see troubleshooting guide, available here: "
    'https://aka.ms/oe-tsg#error-outofquota"]},"type":"https://tools.ietf.org/html/rfc7231#section-6.5.1","status":400}'
)


class Refused(Exception):
    """As azure-core's HttpResponseError: a message, a status that may be 200, and an error with details."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.status_code, self.error = message, status, None


@pytest.mark.parametrize("status", [400, 200])
def test_a_managed_endpoint_s_refusal_is_one_sentence_without_the_subscription(status: int) -> None:
    told = quota_refusal(Refused(AT_ONCE, status))
    assert told == "Not enough quota available for Standard_F4s_v2. Current usage/limit: 0/6. Additional needed: 8"


@pytest.mark.parametrize(
    "message",
    [
        "Not enough quota available for Standard_DS1_v2. Additional requested: 3 (20% more quota than expected)",
        "OutOfQuota: Not enough cluster CPU quota. The amount of additional CPU quota requested is 8, and you are "
        "currently using 14. Your amount of maximum quota is 20.",
        'InferencingClientCallFailed: {"error":"Endpoint Quota reached for subscription"}',
        "(QuotaExceeded) Operation could not be completed as it results in exceeding approved DSv2 Cores quota.",
    ],
)
def test_every_known_wording(message: str) -> None:
    assert quota_refusal(Refused(message))


@pytest.mark.parametrize("where", ["for subscription {}. Ask for more", "at /subscriptions/{}/providers/x"])
def test_no_subscription_s_id_is_told(where: str) -> None:
    told = quota_refusal(Refused(f"Endpoint Quota reached for subscription {where.format(SUBSCRIPTION)}"))
    assert told and SUBSCRIPTION not in told and "***" in told


def test_details_are_read_too() -> None:
    error = Refused("The request is invalid.")
    detail = type("Detail", (), {"code": "OutOfQuota", "message": "Not enough cluster CPU quota."})()
    error.error = type("Error", (), {"code": "BadRequest", "message": "Invalid", "details": [detail]})()
    assert quota_refusal(error) == "Not enough cluster CPU quota"


@pytest.mark.parametrize(
    "message",
    [
        "(AuthorizationFailed) The client 'x' does not have authorization to perform action",
        "AuthorizationPermissionMismatch: This request is not authorized to perform this operation.",
        "(RequestDisallowedByAzure) Resource 'x' was disallowed by Azure: This policy ...",
        "(BadRequest) The scoring script could not be found. Quota is not the matter.",
        "Image build failed: not enough quota available for the registry's tasks",
        "(Unauthorized) the token has expired",
        "(TooManyRequests) slow down",
        "connection reset by peer",
        "instance_type: Standard_Nothing is not supported",
        "",
    ],
)
def test_what_must_not_fall_back(message: str) -> None:
    assert quota_refusal(Refused(message, 403)) is None
