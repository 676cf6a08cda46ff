// A student's subscription: one node of two cores, paid by the second, and nothing that outlives its deletion.
using './main.bicep'

param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param principalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param repository = readEnvironmentVariable('AZURE_REPOSITORY', '')
param vmSize = readEnvironmentVariable('AZURE_VM_SIZE', 'Standard_D2as_v4')
param alertEmail = readEnvironmentVariable('AZURE_ALERT_EMAIL', '')
param alertWebhook = readEnvironmentVariable('AZURE_ALERT_WEBHOOK', '')
param workflowsMayDeploy = bool(readEnvironmentVariable('AZURE_WORKFLOWS_MAY_DEPLOY', 'false'))
