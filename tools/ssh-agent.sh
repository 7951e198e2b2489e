#!/bin/sh
# In a workflow: starts an SSH agent with the key in SSH_PRIVATE_KEY for the steps that follow.
set -eu

if [ -z "${SSH_PRIVATE_KEY:-}" ]; then
    echo 'the environment of this job has no secret SSH_PRIVATE_KEY (docs/pull-requests.md)' >&2
    exit 1
fi
umask 077
mkdir -p ~/.ssh
eval "$(ssh-agent -s)" >/dev/null
printf '%s\n' "$SSH_PRIVATE_KEY" | ssh-add -q -
{
    echo "SSH_AUTH_SOCK=$SSH_AUTH_SOCK"
    echo "SSH_AGENT_PID=$SSH_AGENT_PID"
} >>"$GITHUB_ENV"
