package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	// Below what load balancers and people wait for.
	askLimit = 2 * time.Second
	// Each request makes this container open two connections; untrusted clients must not get more.
	maxAsking = 16
)

// Answer is what whoami reports about one request.
type Answer struct {
	ForwardedFor *string `json:"x-forwarded-for"`
	Egress
	Remote string `json:"remote"`
}

// NewHandler serves the answer on / and "ok" on /healthz.
func NewHandler(echoes map[Family]string, limit time.Duration) http.Handler {
	asking := make(chan struct{}, maxAsking)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case asking <- struct{}{}:
			defer func() { <-asking }()
		case <-time.After(limit):
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests at a time", http.StatusServiceUnavailable)
			return
		case <-r.Context().Done():
			return
		}
		answer := Answer{
			ForwardedFor: forwardedFor(r.Header),
			Egress:       AskAll(r.Context(), echoes, limit),
			Remote:       remote(r.RemoteAddr),
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		_ = out.Encode(answer) // an error means that the client has gone
	})
	return mux
}

// serve answers on listen until ctx ends, then lets running requests finish.
func serve(ctx context.Context, listen string, echoes map[Family]string) error {
	server := &http.Server{
		Handler:           NewHandler(echoes, askLimit),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.Background(), 2*askLimit)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// forwardedFor is the header as received, nil when there is none.
func forwardedFor(header http.Header) *string {
	values := header.Values("X-Forwarded-For")
	if len(values) == 0 {
		return nil
	}
	joined := strings.Join(values, ", ") // RFC 9110, 5.2: several lines are one list
	return &joined
}

// remote is the address of "address:port", in its own family.
func remote(peer string) string {
	parsed, err := netip.ParseAddrPort(peer)
	if err != nil {
		return peer
	}
	return parsed.Addr().Unmap().String()
}
