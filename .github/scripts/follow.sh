#!/usr/bin/env bash
# Follow a job of Azure ML to its end, and give up on one that only waits:    follow.sh NAME
#
# Exit code 0 if it completed, 1 otherwise. QUEUE_MINUTES is how long it may stand still, POLL_SECONDS how often to look:
# a first job waits for its image (Preparing) and then for a node (Queued), and each has the time of its own.
# FOLLOW_MINUTES ends this early, with 0 and the output again=true: what az signed in with is good for about an hour, and
# somebody has to sign in anew. The output lost=true means that the job could not be asked any more; it may well go on.
# Azure lets a job that no quota has room for wait for ever without a word, so somebody has to look at the clock.
set -euo pipefail

name=$1
patience=$((${QUEUE_MINUTES:-30} * 60))
pause=${POLL_SECONDS:-20}
most=$((${FOLLOW_MINUTES:-1000000} * 60))
summary=${GITHUB_STEP_SUMMARY:-/dev/null}
outputs=${GITHUB_OUTPUT:-/dev/null}

status() {
    az ml job show --name "$name" --query status --output tsv
}

# Whether it works, or has gone on since the last look. A pipeline counts as running while its steps wait for a node: then
# it is the steps that tell.
seen=''
moves() {
    local before=$seen steps=''
    [[ ! $1 =~ ^(Running|Finalizing)$ ]] ||
        steps=$(az ml job list --parent-job-name "$name" --query '[].status' --output tsv)
    seen="$1 $steps"
    [[ -n $before && $seen != "$before" ]] && return
    [[ $1 =~ ^(Running|Finalizing)$ && (-z $steps || $steps =~ Running|Finalizing) ]]
}

give_up() {
    az ml job cancel --name "$name" --output none
    kill "$log" 2>/dev/null || true
    echo "::error title=The queue never moved::$name waited ${QUEUE_MINUTES:-30} minutes for a node and was canceled"
    tee -a "$summary" <<EXPLANATION
### The queue never moved

\`$name\` waited for a node for ${QUEUE_MINUTES:-30} minutes and was canceled. The usual reason is **quota**: Azure
accepts a job that the subscription has no cores for, and lets it wait without a word.

- What is left, by family of machines: \`az ml compute list-usage --output table\`. The cluster's family is in
  \`aml/compute/cpu-cluster.yml\`; a limit of 0, or all in use, is it. Ask for more; or delete the cluster
  (\`az ml compute delete --name cpu-cluster\`), and deploy again with another \`AZURE_VM_SIZE\` (docs/azure.md).
- Whether another job holds the only node: \`az ml job list --output table\`.
- Whether the cluster is there and can grow: \`az ml compute show --name cpu-cluster\`.
- The first job of a new environment waits for its image, which is built on serverless compute from the same quota. If it
  stays at *Preparing*: docs/azure.md, "When a step fails". More time: the variable \`AZURE_QUEUE_MINUTES\`.
EXPLANATION
    exit 1
}

az ml job stream --name "$name" &
log=$!
waiting_since=$SECONDS
failures=0
until state=$(status) && [[ $state =~ ^(Completed|Failed|Canceled)$ ]]; do
    if [[ -z $state ]]; then # az has said why; once is no reason to give up hours of training
        if ((++failures >= 5)); then
            echo "lost=true" >> "$outputs"
            echo "::error title=Lost sight of the job::$name could not be asked five times; it was not canceled"
            kill "$log" 2>/dev/null || true
            exit 1
        fi
        sleep "$pause"
        continue
    fi
    failures=0
    if moves "$state"; then
        waiting_since=$SECONDS
    elif ((SECONDS - waiting_since >= patience)); then
        give_up
    fi
    if ((SECONDS >= most)); then
        echo "again=true" >> "$outputs"
        kill "$log" 2>/dev/null || true
        exit 0
    fi
    sleep "$pause"
done
wait "$log" || true # the log's end is not the job's: its status is

echo "$name: $state"
[[ $state == Completed ]] || echo "::error title=$state::the job $name did not complete; its log is above"
[[ $state == Completed ]]
