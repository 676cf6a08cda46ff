// A team's subscription: more nodes, storage over three zones, and a Key Vault that nobody can make vanish.
using './main.bicep'

param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param principalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param repository = readEnvironmentVariable('AZURE_REPOSITORY', '')
param vmSize = readEnvironmentVariable('AZURE_VM_SIZE', 'Standard_D2as_v4')
param alertEmail = readEnvironmentVariable('AZURE_ALERT_EMAIL', '')
param alertWebhook = readEnvironmentVariable('AZURE_ALERT_WEBHOOK', '')
param workflowsMayDeploy = bool(readEnvironmentVariable('AZURE_WORKFLOWS_MAY_DEPLOY', 'false'))
param maxNodes = 4
param storageSku = 'Standard_ZRS'
param purgeProtection = true
param dailyLogsGb = 5
