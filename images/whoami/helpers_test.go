package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// loopback is where an echo of each family listens here, and so what it sees.
var loopback = map[Family]string{IPv4: "127.0.0.1", IPv6: "::1"}

// serveOn starts handler on the loopback address of family.
func serveOn(t *testing.T, family Family, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	listener, err := net.Listen(family.network(), net.JoinHostPort(loopback[family], "0"))
	if err != nil {
		t.Skipf("this machine has no %s loopback: %v", family.word(), err)
	}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// echo answers the caller's address as the lab's echo does.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte(remote(r.RemoteAddr) + "\n"))
}

// says answers text to every request.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

// hangs answers only when its client has gone.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func bounded(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }
