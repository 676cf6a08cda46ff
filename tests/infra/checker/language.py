"""Bicep's own words: functions with what they take and give, decorators with where they may stand.

Source: "Bicep functions" and "Parameters in Bicep" in Microsoft's documentation of Bicep.
"""

from dataclasses import dataclass

from .kinds import ANY, SIMPLE, STRING, Field, Kind, ListOf, Shape


@dataclass(frozen=True)
class Function:
    """How many arguments a function takes (`most` None: any number) and what it gives."""

    least: int
    most: int | None
    result: Kind


def _table(lines: str) -> dict[str, Function]:
    table = {}
    for entry in lines.split():
        name, count, result = entry.split(":")
        least, _, most = count.partition("-")
        limit = None if most == "n" else int(most or least)
        table[name] = Function(int(least), limit, SIMPLE.get(result, ANY))
    return table


# name:arguments:result; `1-2` from one to two, `1-n` one or more.
FUNCTIONS = _table(
    """
    any:1:any array:1:array base64:1:string base64ToJson:1:any base64ToString:1:string bool:1:bool cidrHost:2:string
    cidrSubnet:3:string concat:1-n:any contains:2:bool dataUri:1:string dataUriToString:1:string
    dateTimeAdd:2-3:string dateTimeFromEpoch:1:string dateTimeToEpoch:1:int deployer:0:object deployment:0:object
    empty:1:bool endsWith:2:bool environment:0:object extensionResourceId:3-n:string first:1:any flatten:1:array
    format:2-n:string getSecret:3-4:string guid:1-n:string indexOf:2:int int:1:int intersection:2-n:any items:1:array
    join:2:string json:1:any last:1:any lastIndexOf:2:int length:1:int loadFileAsBase64:1:string loadJsonContent:1-3:any
    loadTextContent:1-2:string loadYamlContent:1-3:any managementGroup:0-1:object managementGroupResourceId:2-n:string
    max:1-n:int min:1-n:int newGuid:0-1:string objectKeys:1:array padLeft:2-3:string parseCidr:1:object
    pickZones:3-5:array range:2:array readEnvironmentVariable:1-2:string reference:1-3:object replace:3:string
    resourceGroup:0-2:object resourceId:2-n:string shallowMerge:1:object skip:2:any split:2:array startsWith:2:bool
    string:1:string subscription:0-1:object subscriptionResourceId:2-n:string substring:2-3:string take:2:any
    tenant:0:object tenantResourceId:2-n:string toLower:1:string toUpper:1:string trim:1:string union:2-n:any
    uniqueString:1-n:string uri:2:string uriComponent:1:string uriComponentToString:1:string utcNow:0-1:string
    """
)

# Functions whose results have properties worth checking.
SHAPES = {
    "resourceGroup": Shape(
        "resourceGroup()",
        {name: Field(STRING) for name in ("id", "name", "type", "location", "managedBy")}
        | {"tags": Field(ANY), "properties": Field(ANY)},
    ),
    "subscription": Shape(
        "subscription()", {name: Field(STRING) for name in ("id", "subscriptionId", "tenantId", "displayName")}
    ),
    "tenant": Shape("tenant()", {name: Field(STRING) for name in ("tenantId", "displayName", "countryCode")}),
    "deployer": Shape("deployer()", {name: Field(STRING) for name in ("objectId", "tenantId", "userPrincipalName")}),
}

LISTS = {"split": ListOf(STRING), "objectKeys": ListOf(STRING), "range": ListOf(SIMPLE["int"])}

# The compiler takes these only in a parameter's default, and those only in a parameter file.
IN_DEFAULTS_ONLY = frozenset({"utcNow", "newGuid"})
IN_PARAMETER_FILES_ONLY = frozenset({"readEnvironmentVariable"})

SCOPES = ("resourceGroup", "subscription", "managementGroup", "tenant")


@dataclass(frozen=True)
class Decorator:
    """How many arguments a decorator takes, on which declarations it may stand, and on which kinds of value."""

    arguments: int
    targets: tuple[str, ...]
    kinds: tuple[str, ...] = ()


_VALUES = ("param", "output")
DECORATORS = {
    "allowed": Decorator(1, ("param",)),
    "batchSize": Decorator(1, ("module", "resource")),
    "description": Decorator(1, ("param", "var", "output", "resource", "module", "type", "func")),
    "discriminator": Decorator(1, ("param", "output", "type")),
    "export": Decorator(0, ("var", "type", "func")),
    "maxLength": Decorator(1, _VALUES, ("string", "array")),
    "maxValue": Decorator(1, _VALUES, ("int",)),
    "metadata": Decorator(1, _VALUES),
    "minLength": Decorator(1, _VALUES, ("string", "array")),
    "minValue": Decorator(1, _VALUES, ("int",)),
    "sealed": Decorator(0, _VALUES, ("object",)),
    "secure": Decorator(0, _VALUES, ("string", "object")),
}
