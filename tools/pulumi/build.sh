#!/bin/sh
# Builds the pinned Pulumi CLI from its Go modules into a cache and prints its folder, for machines
# without pulumi.
#
#   tools/pulumi/build.sh CACHE   →  CACHE/pulumi-<version>-<key of what is pinned>/
#
# The folder is complete or absent: it is built in a temporary folder and renamed.
set -eu

version=3.260.0
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$1
key=$(cat "$here/build.sh" "$here"/*/go.mod "$here"/*/go.sum | sha256sum | cut -c1-12)
out=$cache/pulumi-$version-$key

if [ -x "$out/pulumi" ]; then
    echo "$out"
    exit 0
fi

go=${GO:-go}
next=$out.next.$$
mkdir -p "$next"
trap 'rm -rf "$next"' EXIT

# The CLI must report its version: language plugins and SDKs compare it.
(cd "$here/cli" && CGO_ENABLED=0 "$go" build -mod=readonly -trimpath \
    -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$version" \
    -o "$next/pulumi" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi) >&2

# sdk/v3 v3.79.0 is the last module with the Python language host's command.
(cd "$here/language" && CGO_ENABLED=0 "$go" build -mod=readonly -trimpath -ldflags "-s -w" \
    -o "$next/pulumi-language-python" github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python) >&2

# The executor and the dynamic provider's launcher are plain files of the current SDK module.
sdk=$(cd "$here/cli" && "$go" list -mod=readonly -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)
install -m 0755 "$sdk/python/cmd/pulumi-language-python-exec" "$next/pulumi-language-python-exec"
install -m 0755 "$sdk/python/dist/pulumi-resource-pulumi-python" "$next/pulumi-resource-pulumi-python"

mv -T "$next" "$out" 2>/dev/null || [ -x "$out/pulumi" ]
echo "$out"
