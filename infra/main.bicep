// Everything the project needs in Azure, in one deployment at subscription scope:
//
//     az deployment sub create --name digits --location westeurope --parameters infra/student.bicepparam
//
// What each resource is for and what it costs at rest: docs/azure-resources.md.
targetScope = 'subscription'

@description('Goes into the name of every resource. Lower-case letters and digits: storage accounts and registries allow nothing else.')
@minLength(3)
@maxLength(7)
param name string = 'digits'

@description('Where everything stands. Student subscriptions may be limited to a few regions.')
param location string

@description('Makes globally unique names unique. Give another if a purge-protected Key Vault of an earlier deployment still holds its name.')
@minLength(3)
@maxLength(13)
param suffix string = uniqueString(subscription().id, name, location)

@description('Size of the cluster\'s nodes. Its cores must fit the quota of its family. A larger one costs no more at rest.')
param vmSize string = 'Standard_D2as_v4'

@description('Nodes the cluster may grow to. It always shrinks to none.')
@minValue(1)
@maxValue(100)
param maxNodes int = 1

@description('Seconds a node waits for the next job before it goes.')
@minValue(60)
param idleSeconds int = 180

@description('Keeps a deleted Key Vault, and its name, until its retention has passed; nobody can shorten that. Not for those who create and delete often.')
param purgeProtection bool = false

@description('Redundancy of the storage account: LRS within one data centre, ZRS over three zones.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param storageSku string = 'Standard_LRS'

@description('Days after which untouched artifacts move to the cool tier.')
@minValue(1)
param coolAfterDays int = 30

@description('Days after which data collected from endpoints is deleted.')
@minValue(7)
param keepCollectedDays int = 90

@description('GB of logs a day after which Application Insights stops listening, so that a chatty endpoint cannot cost much.')
@minValue(1)
param dailyLogsGb int = 1

@description('Object id of the person who deploys, who is given the roles that key-less storage asks of everyone: az ad signed-in-user show --query id -o tsv. Empty: nobody.')
param principalId string = ''

@description('The repository as it stands in GitHub\'s OIDC subject: owner/name, or owner@1/name@2 where subjects are immutable. Empty: no identity for workflows.')
param repository string = ''

@description('Which of the repository\'s jobs may sign in to train, deploy models, monitor and delete idle endpoints. Azure itself holds them to this branch, whatever GitHub is told.')
param subject string = 'ref:refs/heads/main'

@description('Whether workflows may run this deployment themselves, as an identity of their own. Needs an Owner to say so once; a workflow leaves it false, and what was granted stays.')
param workflowsMayDeploy bool = false

@description('Which jobs may sign in as that identity: those of a GitHub environment that only main may use and that has reviewers.')
param deploySubject string = 'environment:infra'

@description('Who gets a mail when a job fails or warns. Azure asks the address to confirm. Empty: nobody.')
param alertEmail string = ''

@description('What is called then: an https address. Whoever knows it may post there, so it is treated as a secret. Empty: nothing.')
@secure()
param alertWebhook string = ''

var tags = { project: name }
var workflows = !empty(repository)

// Worked out here and handed to every module: a name that one module learns from another's output is unknown to What-If,
// which then says nothing of the modules behind it.
var storageName = 'st${name}${suffix}'
var vaultName = 'kv-${name}-${suffix}'
var registryName = 'cr${name}${suffix}'
var workspaceName = 'mlw-${name}'
var clusterName = 'cpu-cluster'
var jobsIdentityName = 'id-${name}-jobs'
var insightsName = 'appi-${name}'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${name}'
  location: location
  tags: tags
}

// A group of its own: `az group delete` on the one above takes all that costs money, and the workflows can still sign in to create it again.
resource identities 'Microsoft.Resources/resourceGroups@2025-04-01' = if (workflows) {
  name: 'rg-${name}-github'
  location: location
  tags: tags
}

module stores 'modules/stores.bicep' = {
  name: '${name}-stores'
  scope: group
  params: {
    storageName: storageName
    vaultName: vaultName
    registryName: registryName
    logsName: 'log-${name}'
    insightsName: insightsName
    location: location
    tags: tags
    purgeProtection: purgeProtection
    storageSku: storageSku
    dailyLogsGb: dailyLogsGb
  }
}

module workspace 'modules/workspace.bicep' = {
  name: '${name}-workspace'
  scope: group
  dependsOn: [stores]
  params: {
    name: name
    workspaceName: workspaceName
    clusterName: clusterName
    jobsIdentityName: jobsIdentityName
    location: location
    tags: tags
    storageName: storageName
    vaultName: vaultName
    registryName: registryName
    insightsName: insightsName
    vmSize: vmSize
    maxNodes: maxNodes
    idleSeconds: idleSeconds
    coolAfterDays: coolAfterDays
    keepCollectedDays: keepCollectedDays
  }
}

module github 'modules/github.bicep' = if (workflows) {
  name: '${name}-github'
  scope: identities
  params: {
    identityName: 'id-${name}-github'
    location: location
    tags: tags
    subject: 'repo:${repository}:${subject}'
  }
}

// Apart from the one above, because it is Contributor: a package that a training installs must not come near it.
module infra 'modules/github.bicep' = if (workflows && workflowsMayDeploy) {
  name: '${name}-infra'
  scope: identities
  params: {
    identityName: 'id-${name}-infra'
    location: location
    tags: tags
    subject: 'repo:${repository}:${deploySubject}'
  }
}

// Left out here it is not deleted: a workflow, which does not know the addresses, changes nothing in it.
module alerts 'modules/alerts.bicep' = if (!empty(alertEmail) || !empty(alertWebhook)) {
  name: '${name}-alerts'
  scope: group
  dependsOn: [workspace]
  params: {
    groupName: 'ag-${name}'
    workspaceName: workspaceName
    tags: tags
    email: alertEmail
    webhook: alertWebhook
  }
}

module jobsAccess 'modules/access.bicep' = {
  name: '${name}-access-jobs'
  scope: group
  params: {
    #disable-next-line what-if-short-circuiting // the id of an identity that this deployment makes: nobody knows it before
    principalId: workspace.outputs.jobsPrincipalId
    principalType: 'ServicePrincipal'
    workspaceName: workspaceName
    storageName: storageName
    registryName: registryName
    jobsIdentityName: jobsIdentityName
    keepsEndpoints: false
    runsJobs: true
  }
}

module personAccess 'modules/access.bicep' = if (!empty(principalId)) {
  name: '${name}-access-person'
  scope: group
  dependsOn: [workspace]
  params: {
    principalId: principalId
    principalType: 'User'
    workspaceName: workspaceName
    storageName: storageName
    registryName: registryName
    jobsIdentityName: jobsIdentityName
  }
}

module workflowsAccess 'modules/access.bicep' = if (workflows) {
  name: '${name}-access-workflows'
  scope: group
  dependsOn: [workspace]
  params: {
    #disable-next-line what-if-short-circuiting // the same
    principalId: github!.outputs.principalId
    principalType: 'ServicePrincipal'
    workspaceName: workspaceName
    storageName: storageName
    registryName: registryName
    jobsIdentityName: jobsIdentityName
  }
}

module workflowsDeploy 'modules/deployer.bicep' = if (workflows && workflowsMayDeploy) {
  name: '${name}-deployer'
  params: {
    #disable-next-line what-if-short-circuiting // the same
    principalId: infra!.outputs.principalId
  }
}

// What workflows and people feed on. Subscription and tenant are not among them: `az account show` knows them, and outputs are printed.
// In camel case because ARM answers AZURE_CLIENT_ID as azurE_CLIENT_ID (Azure/bicep#9360), and a query for it finds nothing.
output location string = location
output resourceGroup string = group.name
output workspace string = workspaceName
output compute string = clusterName
output storageAccount string = storageName
output keyVault string = vaultName
output containerRegistry string = registryName
output jobsIdentity string = jobsIdentityName
output clientId string = workflows ? github!.outputs.clientId : ''
output infraClientId string = workflows && workflowsMayDeploy ? infra!.outputs.clientId : ''
