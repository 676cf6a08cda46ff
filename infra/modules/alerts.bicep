// Who is told, by mail or at a webhook: of failed jobs, and of warnings, which Azure's own monitor writes when a threshold is broken.
param groupName string
param workspaceName string
param tags object
param email string

@secure()
param webhook string

// The workspace's metrics, and what each tells. Azure has no metric of drift itself.
var signals = [
  {
    name: 'failed'
    metric: 'Failed Runs'
    description: 'A job has failed: a training, or the daily look at what the endpoint collected.'
  }
  {
    name: 'warned'
    metric: 'Warnings'
    description: 'A job has warned: a monitor found a threshold broken, or too little data.'
  }
]

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-09-01' existing = { name: workspaceName }

resource receivers 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: groupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'azureml' // the sender's name in a message; 12 characters at most
    emailReceivers: empty(email) ? [] : [
      {
        name: 'mail'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
    webhookReceivers: empty(webhook) ? [] : [
      {
        name: 'webhook'
        serviceUri: webhook
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for signal in signals: {
  name: '${workspaceName}-${signal.name}'
  location: 'global'
  tags: tags
  properties: {
    description: signal.description
    severity: 2
    enabled: true
    scopes: [workspace.id]
    evaluationFrequency: 'PT1H' // once an hour is soon enough for a look a day, and asks the metric least often
    windowSize: 'PT1H'
    autoMitigate: false // no second message when an hour has passed without a failure
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'any'
          metricNamespace: 'Microsoft.MachineLearningServices/workspaces'
          metricName: signal.metric
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [{ actionGroupId: receivers.id }]
  }
}]
