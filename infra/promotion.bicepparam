// A workspace to train in, one to serve in, and the registry between them. The registry costs money every day: docs/promotion.md.
using './promotion.bicep'

param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param principalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param repository = readEnvironmentVariable('AZURE_REPOSITORY', '')
param vmSize = readEnvironmentVariable('AZURE_VM_SIZE', 'Standard_D2as_v4')
param alertEmail = readEnvironmentVariable('AZURE_ALERT_EMAIL', '')
param alertWebhook = readEnvironmentVariable('AZURE_ALERT_WEBHOOK', '')
param workflowsMayDeploy = bool(readEnvironmentVariable('AZURE_WORKFLOWS_MAY_DEPLOY', 'false'))
