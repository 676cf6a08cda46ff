// The workspace, the cluster its jobs run on, the identity they run as, and what becomes of their old artifacts.
param name string
param workspaceName string
param clusterName string
param jobsIdentityName string
param location string
param tags object
param storageName string
param vaultName string
param registryName string
param insightsName string
param vmSize string
param maxNodes int
param idleSeconds int
param coolAfterDays int
param keepCollectedDays int

resource storage 'Microsoft.Storage/storageAccounts@2026-09-01' existing = { name: storageName }
resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = { name: vaultName }
resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = { name: registryName }
resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

// Azure itself gives the workspace's own identity its roles on the four resources; giving them here as well would be refused as a duplicate.
resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-09-01' = {
  //checkov:skip=CKV_AZURE_243:a private endpoint costs by the hour and shuts out laptops and GitHub's runners
  name: workspaceName
  location: location
  tags: tags
  sku: {
    name: 'Basic'
    tier: 'Basic'
  }
  identity: { type: 'SystemAssigned' }
  properties: {
    friendlyName: name
    storageAccount: storage.id
    keyVault: vault.id
    containerRegistry: registry.id
    applicationInsights: insights.id
    systemDatastoresAuthMode: 'Identity' // datastores without keys
    publicNetworkAccess: 'Enabled'
  }
}

resource jobs 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: jobsIdentityName
  location: location
  tags: tags
}

// The compute that the specs in aml/ name. It must say the same as aml/compute/cpu-cluster.yml, which cannot name an identity by its address.
resource cluster 'Microsoft.MachineLearningServices/workspaces/computes@2026-09-01' = {
  parent: workspace
  name: clusterName
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${jobs.id}': {} }
  }
  properties: {
    computeType: 'AmlCompute'
    disableLocalAuth: true
    properties: {
      osType: 'Linux'
      vmSize: vmSize
      vmPriority: 'Dedicated' // low priority ended on 2026-03-31: retirements.toml
      remoteLoginPortPublicAccess: 'Disabled'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: maxNodes
        nodeIdleTimeBeforeScaleDown: 'PT${idleSeconds}S'
      }
    }
  }
}

// Here and not with the storage account, because the rules need the workspace's id. What runs leave behind is cooled and never deleted: a
// registered model may be among it.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2026-09-01' = {
  parent: storage
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'cool-old-artifacts'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: [
                'azureml/ExperimentRun/'
                'azureml-blobstore-${workspace.properties.workspaceId}/azureml/'
              ]
            }
            actions: {
              baseBlob: { tierToCool: { daysAfterModificationGreaterThan: coolAfterDays } }
            }
          }
        }
        {
          name: 'delete-old-collected-data'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
                'appendBlob'
              ]
              prefixMatch: ['azureml-blobstore-${workspace.properties.workspaceId}/modelDataCollector/']
            }
            actions: {
              baseBlob: { delete: { daysAfterModificationGreaterThan: keepCollectedDays } }
            }
          }
        }
      ]
    }
  }
}

output jobsPrincipalId string = jobs.properties.principalId
