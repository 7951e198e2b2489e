//go:build tools

// Package engine pins Docker 29's daemon, which Debian does not have yet, for the lab's hosts.
package engine

import (
	_ "github.com/moby/moby/v2/cmd/docker-proxy"
	_ "github.com/moby/moby/v2/cmd/dockerd"
)
