"""The Bicep checker finds what a hurried hand does to real files, on the line where it was done."""

import pytest

STORES, WORKSPACE = "modules/stores.bicep", "modules/workspace.bicep"
ACCESS, GITHUB, ALERTS = "modules/access.bicep", "modules/github.bicep", "modules/alerts.bicep"

# What goes wrong: the file, what stands there, what is made of it, and what the checker says of the first line that
# differs; or, where the fault shows elsewhere, how that line begins and what it says of it.
FAULTS = {
    # syntax
    "unclosed brace": (GITHUB, "  tags: tags\n}", "  tags: tags\n", ("resource identity", "syntax error")),
    "comma after a property": (STORES, "kind: 'StorageV2'", "kind: 'StorageV2',", "no comma at the end of a line"),
    "unclosed string": (STORES, "kind: 'StorageV2'", "kind: 'StorageV2", "not closed"),
    "two properties on a line": (STORES, "kind: 'StorageV2'\n", "kind: 'StorageV2'", "needs a line of its own"),
    # properties of resources
    "property misspelt": (STORES, "allowSharedKeyAccess:", "allowSharedKeysAccess:", "mean 'allowSharedKeyAccess'?"),
    "property misspelt, nested": (WORKSPACE, "minNodeCount: 0", "minNodesCount: 0", "mean 'minNodeCount'?"),
    "property in the wrong case": (STORES, "Application_Type:", "application_type:", "mean 'Application_Type'?"),
    "property on the wrong level": (STORES, "kind: 'StorageV2'", "isHnsEnabled: false", "no property 'isHnsEnabled'"),
    "property of another kind of compute": (
        WORKSPACE,
        "computeType: 'AmlCompute'",
        "computeType: 'Kubernetes'",
        ("      vmSize: vmSize", "no property 'vmSize'"),
    ),
    "property twice": (STORES, "kind: 'StorageV2'", "location: location", "'location' is given twice"),
    "required property missing": (GITHUB, "    subject: subject\n", "", ("properties: {", "'subject' is missing")),
    "required property missing in an item": (
        WORKSPACE,
        "          name: 'cool-old-artifacts'\n          type: 'Lifecycle'\n",
        "          name: 'cool-old-artifacts'\n",
        ("        {\n          name: 'cool", "'type' is missing"),
    ),
    "discriminator missing": (
        WORKSPACE,
        "    computeType: 'AmlCompute'\n",
        "",
        ("  properties: {\n    disableLocalAuth", "'computeType' is missing"),
    ),
    "discriminator unknown": (WORKSPACE, "'AmlCompute'", "'AmlComputes'", "mean 'AmlCompute'?"),
    "read-only property set": (STORES, "    accessTier: 'Hot'", "    provisioningState: 'Succeeded'", "read-only"),
    "name missing": (GITHUB, "  name: identityName\n", "", ("resource identity", "'name' is missing")),
    # values
    "unknown value": (STORES, "'TLS1_2'", "'TLS1.2'", "unknown value 'TLS1.2', did you mean 'TLS1_2'?"),
    "unknown value, unlike any": (STORES, "accessTier: 'Hot'", "accessTier: 'Lukewarm'", "expected one of 'Hot'"),
    "unknown value in a condition's branch": (
        ACCESS,
        "roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.acrPull)",
        "roleDefinitionId: empty(principalId) ? 7 : 'x'",
        "expected string, got 7",
    ),
    "string for a bool": (STORES, "adminUserEnabled: false", "adminUserEnabled: 'false'", "expected bool"),
    "string for an int": (STORES, "retentionInDays: 30", "retentionInDays: '30'", "expected int"),
    "int for a string": (WORKSPACE, "friendlyName: name", "friendlyName: 1", "expected string"),
    "string for an object": (STORES, "sku: { name: 'Basic' }", "sku: 'Basic'", "expected object"),
    "string for an array": (GITHUB, "['api://AzureADTokenExchange']", "'api://AzureADTokenExchange'", "expected array"),
    "wrong item of an array": (GITHUB, "['api://AzureADTokenExchange']", "[true]", "expected string"),
    "below the minimum": (STORES, "      days: 7\n", "      days: 0\n", "below the minimum of 1"),
    "does not match the pattern": (WORKSPACE, "name: workspaceName", "name: 'mlw digits'", "does not match"),
    "too long": (ALERTS, "groupShortName: 'azureml'", "groupShortName: 'azure machine learning'", "longer than 12"),
    "value of another name, in a loop": (
        ALERTS,
        "timeAggregation: 'Total'",
        "timeAggregation: 'Sum'",
        "expected one of 'Average'",
    ),
    # types and places of resources
    "old version": (STORES, "storageAccounts@2026-09-01", "storageAccounts@2019-06-01", "not the newest known"),
    "version that never was": (
        GITHUB,
        "userAssignedIdentities@2024-11-30",
        "userAssignedIdentities@2024-11-31",
        "newest",
    ),
    "no version": (STORES, "Microsoft.KeyVault/vaults@2026-05-15", "Microsoft.KeyVault/vaults", "newest"),
    "type misspelt": (STORES, "Microsoft.KeyVault/vaults@", "Microsoft.KeyVaults/vault@", "no resource type"),
    "parent of another type": (STORES, "parent: storage", "parent: vault", "storageAccounts, not Microsoft.KeyVault"),
    "child without a parent": (STORES, "  parent: storage\n", "", ("resource blobs", "needs a parent")),
    "resource of a group in a subscription": (
        "budget.bicep",
        "Microsoft.Consumption/budgets@2026-06-01",
        "Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30",
        "deployed to ResourceGroup, and this file to Subscription",
    ),
    "name that is known too late": (
        ACCESS,
        "guid(workspace.id, principalId, roles.dataScientist)",
        "guid(workspace.properties.workspaceId, principalId)",
        "'name' must be known before the deployment starts",
    ),
    "condition that is known too late": (
        "main.bicep",
        "= if (!empty(principalId)) {",
        "= if (!empty(workspace.outputs.jobsPrincipalId)) {",
        "a condition must be known before the deployment starts",
    ),
    # names
    "undefined name": (STORES, "location: location", "location: region", "'region' is not defined"),
    "undefined name, near": (STORES, "WorkspaceResourceId: logs.id", "WorkspaceResourceId: log.id", "mean 'logs'?"),
    "undefined name in a string": ("main.bicep", "'st${name}${suffix}'", "'st${nam}${suffix}'", "did you mean 'name'?"),
    "parameter not used": (STORES, "param dailyLogsGb int", "param dailyLogsGb int\nparam extra string", "not used"),
    "variable not used": ("main.bicep", "var tags = {", "var spare = name\nvar tags = {", "var 'spare' is not used"),
    "existing resource not used": (WORKSPACE, "keyVault: vault.id", "keyVault: 'x'", ("resource vault", "not used")),
    "declared twice": (ACCESS, "resource useBlobs", "resource useWorkspace", "declared twice"),
    "variable of itself": ("main.bicep", "var workflows = !empty(repository)", "var workflows = !workflows", "itself"),
    # members
    "no such member of a resource": ("main.bicep", "= group.name", "= group.nmae", "did you mean 'name'?"),
    "no such property of a resource": (
        WORKSPACE,
        "jobs.properties.principalId",
        "jobs.properties.principleId",
        "did you mean 'principalId'?",
    ),
    "properties passed over": (
        GITHUB,
        "= identity.properties.clientId",
        "= identity.clientId",
        "no property 'clientId'",
    ),
    "no such member of a variable": (
        ACCESS,
        "registry.id, principalId, roles.acrPull",
        "roles.acrPul",
        "mean 'acrPull'",
    ),
    "no such output": (
        "main.bicep",
        "workspace.outputs.jobsPrincipalId",
        "workspace.outputs.jobsPrincipalName",
        "mean 'jobsPrincipalId'?",
    ),
    "outputs passed over": (
        "main.bicep",
        "workspace.outputs.jobsPrincipalId",
        "workspace.jobsPrincipalId",
        "no property 'jobsPrincipalId'",
    ),
    "member of a string": (GITHUB, "subject: subject\n", "subject: subject.value\n", "is no object but string"),
    "member of what may not exist": ("main.bicep", "? github!.outputs", "? github.outputs", "it is conditional"),
    "no such member of subscription()": (STORES, "subscription().tenantId", "subscription().tenant", "'tenantId'?"),
    # modules
    "no such module": (
        "main.bicep",
        "'modules/github.bicep'",
        "'modules/gitlab.bicep'",
        "no file 'modules/gitlab.bicep'",
    ),
    "parameter of a module missing": (
        "main.bicep",
        "    vmSize: vmSize\n",
        "",
        ("params: {\n    name: name\n    workspaceName", "'vmSize' is missing"),
    ),
    "parameter of a module unknown": ("main.bicep", "    vmSize: vmSize\n", "    vmSise: vmSize\n", "mean 'vmSize'?"),
    "parameter of a module of the wrong type": (
        "main.bicep",
        "    maxNodes: maxNodes\n",
        "    maxNodes: vmSize\n",
        "int",
    ),
    "parameter of a module with a wrong value": (
        "main.bicep",
        "principalType: 'User'",
        "principalType: 'Person'",
        "expected one of 'User', 'Group', 'ServicePrincipal'",
    ),
    "scope of a module missing": ("main.bicep", "  scope: identities\n", "", ("module github", "'scope' is missing")),
    "scope of a module wrong": (
        "main.bicep",
        "  name: '${name}-deployer'\n",
        "  name: '${name}-deployer'\n  scope: group\n",
        "deployed to a subscription, not to a Microsoft.Resources/resourceGroups",
    ),
    # parameters, outputs, decorators
    "default of the wrong type": ("main.bicep", "param maxNodes int = 1", "param maxNodes int = '1'", "expected int"),
    "default that is not allowed": (
        "main.bicep",
        "string = 'Standard_LRS'\n",
        "string = 'Standard_XRS'\n",
        "unknown value 'Standard_XRS'",
    ),
    "default out of range": (
        "main.bicep",
        "param idleSeconds int = 180",
        "param idleSeconds int = 18",
        "minimum of 60",
    ),
    "default too long": ("main.bicep", "name string = 'digits'", "name string = 'handwriting'", "longer than 7"),
    "unknown type": (
        "main.bicep",
        "param maxNodes int",
        "param maxNodes integer",
        "no type 'integer', did you mean 'int'?",
    ),
    "output of the wrong type": (
        "main.bicep",
        "output location string",
        "output location int",
        "expected int",
    ),
    "unknown target scope": ("budget.bicep", "'subscription'", "'subscriptions'", "did you mean 'subscription'?"),
    "unknown decorator": ("main.bicep", "@maxLength(7)", "@maxLenght(7)", "no decorator '@maxLenght', did you mean"),
    "decorator without its argument": ("main.bicep", "@maxLength(7)", "@maxLength()", "takes 1 arguments, not 0"),
    "decorator with a wrong argument": ("main.bicep", "@maxLength(7)", "@maxLength('7')", "expected int, got '7'"),
    "decorator on the wrong type": ("main.bicep", "@maxLength(7)", "@maxValue(7)", "for int, and this is string"),
    "decorator on the wrong declaration": (
        "main.bicep",
        "var workflows =",
        "@secure()\nvar workflows =",
        "cannot stand",
    ),
    "batchSize without a loop": (STORES, "resource vault", "@batchSize(1)\nresource vault", "loops only"),
    "allowed values of the wrong type": (
        "main.bicep",
        "@allowed(['Standard_LRS', 'Standard_ZRS'])",
        "@allowed([1])",
        "string",
    ),
    # functions and operators
    "unknown function": ("main.bicep", "= uniqueString(sub", "= uniqeString(sub", "did you mean 'uniqueString'?"),
    "too few arguments": (ACCESS, "guid(jobs.id, principalId, roles.identityOperator)", "guid()", "takes 1 or more"),
    "too many arguments": ("main.bicep", "!empty(repository)", "!empty(repository, name)", "takes 1 arguments, not 2"),
    "time outside a default": ("budget.bicep", "startDate: startDate", "startDate: utcNow()", "default of a parameter"),
    "environment outside a parameter file": (
        GITHUB,
        "subject: subject",
        "subject: readEnvironmentVariable('SUBJECT')",
        "in a .bicepparam file",
    ),
    "group in a subscription": ("main.bicep", "= location\noutput", "= resourceGroup().location\noutput", "no meaning"),
    "not of a string": ("main.bicep", "= !empty(repository)", "= !repository", "expected bool, got string"),
    "and of a string": (
        "main.bicep",
        "if (workflows && workflowsMayDeploy)",
        "if (workflows && name)",
        "expected bool",
    ),
    # parameter files
    "parameter file for no file": ("team.bicepparam", "'./main.bicep'", "'./mian.bicep'", "no file './mian.bicep'"),
    "parameter file without `using`": ("team.bicepparam", "using './main.bicep'\n", "", ("// A team", "is missing")),
    "parameter file: unknown parameter": ("team.bicepparam", "param maxNodes", "param maxNode", "mean 'maxNodes'?"),
    "parameter file: wrong type": ("team.bicepparam", "= 4", "= '4'", "expected int"),
    "parameter file: out of range": ("team.bicepparam", "= 4", "= 400", "above the maximum of 100"),
    "parameter file: wrong value": ("team.bicepparam", "'Standard_ZRS'", "'Standard_ZSR'", "mean 'Standard_ZRS'?"),
    "parameter file: parameter missing": (
        "team.bicepparam",
        "param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')\n",
        "",
        ("using", "'location' of main.bicep is missing"),
    ),
    "parameter file: undefined name": ("team.bicepparam", "= 4", "= four", "'four' is not defined"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault_is_found_where_it_is(case, copy, check):
    name, old, new, *expected = FAULTS[case]
    where, message = expected[0] if isinstance(expected[0], tuple) else (None, expected[0])
    file = copy / name
    clean = file.read_text()
    assert old in clean, "the file has changed; so must this test"
    broken = clean.replace(old, new, 1)
    file.write_text(broken)
    line = _line_of(where, broken) if where else _first_difference(clean, broken)

    found = check(file)

    assert any(fault.startswith(f"{file.name}:{line}: ") and message in fault for fault in found), (line, found)


def _line_of(beginning: str, text: str) -> int:
    return text[: text.index(beginning)].count("\n") + 1


def _first_difference(clean: str, broken: str) -> int:
    pairs = zip(clean.splitlines(), broken.splitlines(), strict=False)
    return next((number for number, (a, b) in enumerate(pairs, 1) if a != b), len(broken.splitlines()))
