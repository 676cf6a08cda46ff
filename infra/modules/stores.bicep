// What the workspace stands on: storage, Key Vault, container registry, and Application Insights over Log Analytics.
@minLength(3)
@maxLength(24)
param storageName string

@minLength(3)
@maxLength(24)
param vaultName string

@minLength(5)
@maxLength(50)
param registryName string

param logsName string
param insightsName string
param location string
param tags object
param purgeProtection bool
param storageSku string
param dailyLogsGb int

// Nobody holds a key: every reader and writer is an identity with a role.
resource storage 'Microsoft.Storage/storageAccounts@2026-09-01' = {
  //checkov:skip=CKV_AZURE_35:laptops and GitHub's runners have no fixed address to allow; identities with roles are the lock
  //checkov:skip=CKV_AZURE_43:the name is valid, but only Azure can compute it
  //checkov:skip=CKV_AZURE_206:what is in it can be made again, and a copy in a second region costs; teams keep three copies in one
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: storageSku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    isHnsEnabled: false // the workspace's own storage must not have one
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

// A week to take back a deletion.
resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-09-01' = {
  parent: storage
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' = {
  //checkov:skip=CKV_AZURE_42:soft delete is on and purge protection a parameter, on for teams
  //checkov:skip=CKV_AZURE_109:laptops and GitHub's runners have no fixed address to allow; identities with roles are the lock
  //checkov:skip=CKV_AZURE_110:a parameter, on for teams; for a student it would keep the name after every teardown
  //checkov:skip=CKV_AZURE_189:no private network to reach it from, which costs by the hour
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7 // it cannot be changed later, so it is the same for all
    enablePurgeProtection: purgeProtection ? true : null // false is refused: it can be left unsaid or be true for good
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

// Images are pulled by identities with AcrPull; the admin user, a shared password, stays off.
resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  //checkov:skip=CKV_AZURE_139:only the Premium tier has private networking
  //checkov:skip=CKV_AZURE_163:scanning is a paid plan of the subscription (Defender), not a setting of the registry
  //checkov:skip=CKV_AZURE_166:only the Premium tier has quarantine
  name: registryName
  location: location
  tags: tags
  sku: { name: 'Basic' }
  properties: {
    adminUserEnabled: false
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: logsName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 30
    workspaceCapping: { dailyQuotaGb: dailyLogsGb }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: insightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
  }
}
