"""What Azure fills into a resource that was put, as its recorded answers show: defaults, nulls, its own spellings."""

import json
import re
from typing import Any

from amlocal.assets.models import DEVELOPMENT
from amlocal.batch.plan import Settings
from amlocal.operations import rest, service
from amlocal.operations.rest import camel_case
from amlocal.operations.service import filled

from .arm import now

# What the service fills in is `service`'s, which `aml` prints; beside it stand here the keys that it answers with null.
RESOURCES = rest.camel(service.RESOURCES) | dict.fromkeys(
    ("maxInstanceCount", "instanceType", "locations", "properties", "dockerArgs", "dockerArgsList")
)
SERVICE = {"port": None, "status": None, "errorMessage": None, "properties": None, "nodes": None}
INPUT = {"description": None, "mode": rest.MODES[service.INPUT_MODE], "pathOnCompute": None}
OUTPUT = {
    **dict.fromkeys(("description", "uri", "assetName", "assetVersion", "pathOnCompute", "autoDeleteSetting")),
    "mode": rest.MODES[service.OUTPUT_MODE],
    "jobOutputType": service.OUTPUT_TYPE,
}
JOB: dict[str, Any] = {
    "description": None,
    "tags": {},
    "properties": {},
    "parentJobName": None,
    "displayName": None,
    "experimentName": "Default",
    "services": {},
    "computeId": None,
    "isArchived": False,
    "identity": None,
    "componentId": None,
    "notificationSetting": None,
    "secretsConfiguration": None,
    "inputs": {},
    "outputs": {},
}
QUEUE = {camel_case(key): rest.word(value) for key, value in service.QUEUE.items()} | {"priority": None}
OF_JOB: dict[str, dict[str, Any]] = {
    "Command": {
        "resources": RESOURCES,
        "codeId": None,
        "distribution": None,
        "autologgerSettings": None,
        "limits": None,
        "environmentVariables": {},
        "parameters": {},
        "queueSettings": QUEUE,
    },
    "Sweep": {
        "earlyTermination": None,
        "queueSettings": QUEUE,
        "resources": RESOURCES,
        "componentConfiguration": None,
        "samplingAlgorithm": {"seed": None, "logbase": None, "rule": None},
        "limits": {"trialTimeout": None},
        "trial": {"codeId": None, "distribution": None, "environmentVariables": {}, "resources": RESOURCES},
    },
    "Pipeline": {"settings": {}, "jobs": {}, "sourceJobId": None},
    "AutoML": {
        "resources": RESOURCES,
        "environmentId": None,
        "environmentVariables": None,
        "taskDetails": {
            "trainingData": INPUT,
            "limitSettings": {"exitScore": None},
            "trainingSettings": dict.fromkeys(
                ("stackEnsembleSettings", "allowedTrainingAlgorithms", "blockedTrainingAlgorithms")
            ),
            **dict.fromkeys(
                ("sweepSettings", "fixedParameters", "searchSpace", "nCrossValidations", "cvSplitColumnNames")
            ),
            **dict.fromkeys(("weightColumnName", "validationData", "testData", "validationDataSize", "testDataSize")),
            "featurizationSettings": None,
        },
        "queueSettings": QUEUE,
    },
}
VERSION: dict[str, Any] = {
    "description": None,
    "tags": {},
    "properties": {},
    "isArchived": False,
    "isAnonymous": False,
    "autoDeleteSetting": None,
    "provisioningState": "Succeeded",
}
OF_VERSION: dict[str, dict[str, Any]] = {
    "models": {"flavors": {}, "jobName": None, "stage": DEVELOPMENT, "intellectualProperty": None},
    "environments": {
        "environmentType": "UserCreated",
        "osType": rest.word(service.OS_TYPE),
        "autoRebuild": "Disabled",
        "stage": DEVELOPMENT,
        "intellectualProperty": None,
    },
    "components": {"stage": DEVELOPMENT},
    "data": {"intellectualProperty": None, "stage": None},
    "codes": {},
}
COMPUTE: dict[str, Any] = {
    "description": None,
    "disableLocalAuth": False,
    "resourceId": None,
    "provisioningErrors": None,
    "provisioningWarnings": {},
    "isAttachedCompute": False,
}
NODES = ("idle", "running", "preparing", "unusable", "leaving", "preempted")
CLUSTER: dict[str, Any] = {
    "vmPriority": "Dedicated",
    "scaleSettings": {"maxNodeCount": 1, "minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT2M"},
    "subnet": None,
    "currentNodeCount": 0,
    "targetNodeCount": 0,
    "nodeStateCounts": {f"{state}NodeCount": 0 for state in NODES},
    "allocationState": "Steady",
    "errors": None,
    "remoteLoginPortPublicAccess": "NotSpecified",
    "osType": "Linux",
    "virtualMachineImage": None,
    "isolatedNetwork": False,
    "enableNodePublicIp": True,
    "enableBatchPrivateLink": False,
}
INSTANCE: dict[str, Any] = {
    **dict.fromkeys(("subnet", "autologgerSettings", "personalComputeInstanceSettings", "setupScripts", "dataMounts")),
    **dict.fromkeys(("dataDisks", "containers", "updateStatus", "imageVersion", "imageSku")),
    "sshSettings": {"sshPublicAccess": "Disabled", "adminUserName": "azureuser", "sshPort": 4000},
    "errors": [],
    "connectivityEndpoints": {"publicIpAddress": "192.0.2.1", "privateIpAddress": "10.0.0.4"},
    "applications": [],
    "state": "Running",
    "enableRootAccess": True,
    "lastOperation": {
        "operationName": "Create",
        "operationTime": "2026-01-01T00:00:00+00:00",
        "operationStatus": "Succeeded",
        "operationTrigger": "User",
    },
    "createdBy": {"userOrgId": "00000000-0000-0000-0000-0000000000a1", "userId": "double"},
    "applicationSharingPolicy": "Shared",
    "computeInstanceAuthorizationType": "personal",
    "enableNodePublicIp": True,
    "enableBatchPrivateLink": False,
    "enableOSPatching": False,
    "releaseQuotaOnStop": False,
    "enableSSO": True,
    "schedules": {"computeStartStop": []},
    "versions": {"runtime": "3.0"},
    "customServices": [],
    "osImageMetadata": {"currentImageVersion": "1", "latestImageVersion": "1", "isLatestOsImageVersion": True},
}
# What of it is said before it is there.
TOLD_OF_AN_INSTANCE = {
    *("vmSize", "createdBy", "enableRootAccess", "computeInstanceAuthorizationType", "enableNodePublicIp"),
    *("enableBatchPrivateLink", "enableOSPatching", "releaseQuotaOnStop", "enableSSO"),
}
DATASTORE: dict[str, Any] = {"description": None, "tags": None, "properties": None, "isDefault": False}
WORKSPACE: dict[str, Any] = {
    **rest.body("workspace", service.WORKSPACE)["properties"],
    "imageBuildCompute": None,
    "managedNetwork": {
        "changeableIsolationModes": ["AllowInternetOutbound", "AllowOnlyApprovedOutbound"],
        "isolationMode": "Disabled",
        "enableNetworkMonitor": False,
        "enableFirewallLog": False,
    },
    "allowRoleAssignmentOnRG": True,
    "softDeleteEnabled": False,
    "linkedModelInventoryArmId": None,
    "ipAllowlist": [],
    "networkAcls": {"defaultAction": "Allow", "bypass": "", "ipRules": [], "resourceAccessRules": []},
    "serverlessComputeSettings": None,
    "EnableSoftwareBillOfMaterials": False,
    "enableServiceSideCMKEncryption": False,
}
ONLINE_ENDPOINT = {"publicNetworkAccess": rest.word(service.ENDPOINT_ACCESS), "description": None, "compute": None}
DEPLOYMENT: dict[str, Any] = {
    **rest.body("online deployment", service.ONLINE_DEPLOYMENT)["properties"],
    **dict.fromkeys(("description", "modelMountPath", "dataCollector")),
}
SKU = {"name": "Default"} | rest.body("online deployment", service.ONLINE_DEPLOYMENT)["sku"]
BATCH_DEPLOYMENT: dict[str, Any] = {
    "description": None,
    "properties": {},
    "environmentVariables": {},
    **rest.body("batch deployment", service.batch_settings(Settings()))["properties"],
}
BATCH_DEPLOYMENT["resources"] |= {"instanceType": None, "properties": None}


def container(kind: str) -> dict[str, Any]:
    """What a name has that is there with its first version."""
    empty: dict[str, Any] | None = None if kind == "data" else {}
    return {"description": None, "tags": empty, "properties": empty, "isArchived": False}


def job(properties: dict[str, Any], name: str | None) -> dict[str, Any]:
    """A job's properties as Azure answers them; name: None for one that a schedule is to create."""
    kind = properties.get("jobType", "")
    full = filled(filled(properties, JOB), OF_JOB.get(kind, {}))
    if name is None and not properties.get("parameters"):
        full["parameters"] = None
    for place, template in (("inputs", INPUT), ("outputs", OUTPUT), ("services", SERVICE)):
        literal = {"description": None}
        full[place] = {
            key: filled(one, literal if one.get("jobInputType") == "literal" else template) if one else one
            for key, one in (full[place] or {}).items()
        }
    if kind == "Sweep":
        goal = full["objective"]["goal"]
        full["objective"] = full["objective"] | {"goal": goal[:1].upper() + goal[1:]}
        if full["samplingAlgorithm"].get("samplingAlgorithmType") == "Random":
            full["samplingAlgorithm"] = filled(full["samplingAlgorithm"], {"rule": "Random"})
    if kind in ("Command", "Sweep") and name:
        full["outputs"]["default"] = filled({"uri": service.default_output(name)["path"]}, OUTPUT)
    return full


def version(kind: str, properties: dict[str, Any], place: Any) -> dict[str, Any]:
    """A version's properties as Azure answers them. place: its `Id`."""
    full = filled(filled(properties, VERSION), OF_VERSION[kind])
    full["provisioningState"] = "Succeeded"
    if full.get("isArchived") and "stage" in full:
        full["stage"] = "Archived"
    if kind == "environments":
        full["condaFile"] = _as_json(full.get("condaFile"))
        full["properties"] = full["properties"] | {"azureml.labels": "latest"}
    if kind == "components" and full.get("componentSpec"):
        full["description"] = None  # it is in the spec
        full["stage"] = "Logged" if full["isAnonymous"] else full["stage"]
        full["componentSpec"] = component(full["componentSpec"], place)
    return full


def _as_json(conda: Any) -> Any:
    """Azure keeps a conda file as JSON, indented, in a text, which is empty where there is none."""
    if not conda or not isinstance(conda, str):
        return conda or ""
    import yaml

    return json.dumps(yaml.safe_load(conda), indent=2)


def component(spec: dict[str, Any], place: Any) -> dict[str, Any]:
    """A component's spec as Azure answers it: numbers and truth values are texts, Azure's environments a registry's."""
    shown = {name: value for name, value in spec.items() if name != "_source"}
    shown["version"] = shown.get("version") or place.name
    shown |= service.component(shown)
    curated = re.fullmatch(r"azureml:(AzureML-[^:@/]+)[:@]([^:@/]+)", str(shown.get("environment")), re.IGNORECASE)
    if curated:  # a label is resolved; to which version, is made up here
        version = "1" if curated[2] == "latest" else curated[2]
        shown["environment"] = f"azureml://registries/azureml/environments/{curated[1]}/versions/{version}"
    return dict(_texts(shown))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return str(value) if isinstance(value, (bool, int, float)) else value


def compute(properties: dict[str, Any]) -> dict[str, Any]:
    """A compute's properties as Azure answers them."""
    full = filled(properties, COMPUTE)
    full["createdOn"] = full.get("createdOn") or now()
    full["modifiedOn"] = now()
    if full.get("computeType") == "AmlCompute":
        inner = filled(full.get("properties"), CLUSTER)
        inner["allocationStateTransitionTime"] = now()
        inner.pop("userAccountCredentials", None)
        full["properties"] = inner
    if full.get("computeType") == "ComputeInstance":
        inner = filled(full.get("properties"), INSTANCE)
        inner["sshSettings"] |= {"adminPublicKey": None}
        full["properties"] = inner
    return full
