package main

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"
)

type floodSummary struct {
	Targets map[string]struct {
		NewTCP        int `json:"tcp_new"`
		NewTCPFailed  int `json:"tcp_new_failed"`
		LongTCP       int `json:"tcp_long"`
		LongTCPFailed int `json:"tcp_long_failed"`
		LongBytes     int `json:"tcp_long_bytes"`
		UDP           int `json:"udp"`
		UDPFailed     int `json:"udp_failed"`
	}
}

func floodFor(t *testing.T, duration time.Duration, addresses ...string) floodSummary {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration) // as SIGTERM would
	defer cancel()
	status, stdout, stderr := probe(ctx, append([]string{"flood", "-interval", "2ms"}, addresses...)...)
	var got floodSummary
	if err := json.Unmarshal([]byte(stdout), &got); status != 0 || err != nil {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	return got
}

func TestFloodSendsEveryKindToEveryAddress(t *testing.T) {
	a, b := server(t, "sink", "127.0.0.1"), server(t, "sink", "::1")
	got := floodFor(t, 500*time.Millisecond, a, b)
	for _, address := range []string{a, b} {
		to := got.Targets[address]
		if to.NewTCP < 20 || to.LongTCP != 1 || to.LongBytes < 100 || to.UDP < 20 {
			t.Errorf("%s: %+v", address, to)
		}
	}
}

func TestFloodGoesOnWithoutAnAnswerAndWithoutARoute(t *testing.T) {
	got := floodFor(t, 300*time.Millisecond, "127.0.0.1:1", "[fe80::1%nothing]:1")
	for address, to := range got.Targets {
		if to.NewTCP+to.LongTCP != 0 || to.NewTCPFailed == 0 {
			t.Errorf("%s: %+v", address, to)
		}
	}
	if to := got.Targets["127.0.0.1:1"]; to.UDP < 20 {
		t.Errorf("refused datagrams stop the flow: %+v", to)
	}
}

func TestFloodReconnectsTheLongConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			time.AfterFunc(30*time.Millisecond, func() { reset(conn) })
		}
	}()
	address := listener.Addr().String()
	if to := floodFor(t, 500*time.Millisecond, address).Targets[address]; to.LongTCP < 3 || to.LongTCPFailed < 2 {
		t.Errorf("%+v", to)
	}
}
