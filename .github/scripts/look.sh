#!/usr/bin/env bash
# Have what the endpoint collected looked at:    look.sh NAME
#
# Submits aml/pipelines/monitoring.yml as the job NAME, with labels if there are any: where LABELS says, or else the data
# asset digits-labels. On a schedule only while there is an endpoint: what the last one had collected was looked at
# before it went, and a node for nothing would be paid for every day.
set -euo pipefail

name=$1
labels=${LABELS:-}
endpoint=${AZURE_ENDPOINT:-digits}

# Whether there is an endpoint. No workspace is no endpoint; any other error is one.
collecting() {
    local answer
    if answer=$(az ml online-endpoint list --query "[?name=='$endpoint'].name" --output tsv 2>&1); then
        grep --quiet --fixed-strings --line-regexp "$endpoint" <<<"$answer"
    else
        [[ $answer == *NotFound* ]] || { echo "$answer" >&2 && exit 1; }
        return 1
    fi
}

if [[ ${GITHUB_EVENT_NAME:-} == schedule ]] && ! collecting; then
    echo "There is no endpoint \`$endpoint\`: nothing new to look at." | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
    exit
fi
if [[ -z $labels && -n $(az ml data list --query "[?name=='digits-labels'].name" --output tsv) ]]; then
    labels=azureml:digits-labels@latest
fi
settings=("tags.commit=${GITHUB_SHA:-}" "inputs.endpoint=$endpoint")
[[ -z $labels ]] || settings+=("jobs.monitor.inputs.labels.type=uri_file" "jobs.monitor.inputs.labels.path=$labels")
az ml job create --file aml/pipelines/monitoring.yml --name "$name" --set "${settings[@]}" --output none
echo "job=$name" >> "${GITHUB_OUTPUT:-/dev/null}"
