package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// probe runs a command line to its end.
func probe(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs strings.Builder
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

// server runs a serving command on a free port of host until the test ends and returns its address.
func server(t *testing.T, name, host string) string {
	t.Helper()
	var free string
	if name == "serve-udp" {
		conn, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Skipf("no loopback %s: %v", host, err)
		}
		free = conn.LocalAddr().String()
		_ = conn.Close()
	} else {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Skipf("no loopback %s: %v", host, err)
		}
		free = listener.Addr().String()
		_ = listener.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan string, 1)
	go func() {
		status, _, stderr := probe(ctx, name, free)
		done <- fmt.Sprintf("%d %s", status, stderr)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case end := <-done:
			if end != "0 " {
				t.Errorf("%s ended with %s", name, end)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s did not end", name)
		}
	})
	if name != "serve-udp" { // datagrams are retried, a refused connection is final
		for range 100 {
			if conn, err := net.Dial("tcp", free); err == nil {
				reset(conn)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return free
}

func TestAskingTellsTheAddressAsSeen(t *testing.T) {
	for _, transport := range []string{"tcp", "udp"} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			t.Run(transport+" "+host, func(t *testing.T) {
				address := server(t, "serve-"+transport, host)
				for range 2 { // the server continues
					status, stdout, stderr := probe(t.Context(), "ask-"+transport, address)
					if status != 0 || stdout != host+"\n" {
						t.Errorf("status %d, %q, %q", status, stdout, stderr)
					}
				}
			})
		}
	}
}

func TestAWildcardServerTellsIPv4InItsOwnWords(t *testing.T) {
	if got := seen(&net.TCPAddr{IP: net.ParseIP("::ffff:198.51.100.10"), Port: 7}); got != "198.51.100.10\n" {
		t.Errorf("got %q", got)
	}
	if got := seen(&net.UDPAddr{IP: net.ParseIP("2001:db8::10"), Port: 7}); got != "2001:db8::10\n" {
		t.Errorf("got %q", got)
	}
}

func TestAskingGivesUp(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, command := range []string{"ask-tcp", "ask-udp"} {
		start := time.Now()
		status, stdout, stderr := probe(t.Context(), command, "-timeout", "200ms", silent.Addr().String())
		if status != 1 || stdout != "" || stderr == "" || time.Since(start) > 3*time.Second {
			t.Errorf("%s: status %d, %q, %q after %s", command, status, stdout, stderr, time.Since(start))
		}
	}
}

func TestGetPrintsTheBody(t *testing.T) {
	http4 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			http.Error(w, "nothing here", http.StatusNotFound)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/hang":
			<-r.Context().Done()
		default:
			fmt.Fprintf(w, "%s %s\n", r.Host, r.Header.Get("X-Forwarded-For"))
		}
	}))
	defer http4.Close()
	for _, c := range []struct {
		args   []string
		status int
		stdout string
	}{
		{[]string{"-H", "Host: whoami.mail.example.com", "-H", "X-Forwarded-For: 192.0.2.1", http4.URL}, 0, "whoami.mail.example.com 192.0.2.1\n"},
		{[]string{http4.URL + "/missing"}, 3, "nothing here\n"},
		{[]string{http4.URL + "/moved"}, 3, "<a href=\"/\">Found</a>.\n\n"},
		{[]string{"-timeout", "100ms", http4.URL + "/hang"}, 1, ""},
		{[]string{"-6", http4.URL}, 1, ""},
		{[]string{"-4", "-6", http4.URL}, 2, ""},
		{[]string{"-H", "nonsense", http4.URL}, 2, ""},
		{nil, 2, ""},
	} {
		status, stdout, stderr := probe(t.Context(), append([]string{"get"}, c.args...)...)
		if status != c.status || stdout != c.stdout || (status == 0) != (stderr == "") {
			t.Errorf("get %q: status %d, %q, %q", c.args, status, stdout, stderr)
		}
	}
}

func TestConnectRateAndThroughputCount(t *testing.T) {
	address := server(t, "sink", "127.0.0.1")
	for _, c := range []struct{ command, amount, rate string }{
		{"connect-rate", "connections", "per_second"},
		{"throughput", "bytes", "bytes_per_second"},
	} {
		status, stdout, stderr := probe(t.Context(), c.command, "-duration", "200ms", address)
		var got map[string]any
		if status != 0 || json.Unmarshal([]byte(stdout), &got) != nil {
			t.Fatalf("%s: status %d, %q, %q", c.command, status, stdout, stderr)
		}
		amount, seconds := got[c.amount].(float64), got["seconds"].(float64)
		if amount < 1 || seconds < 0.19 || seconds > 2 || got[c.rate].(float64) < 1 {
			t.Errorf("%s: %v", c.command, got)
		}
	}
}

func TestConnectRateTellsHowLongAConnectionTakes(t *testing.T) {
	address := server(t, "sink", "127.0.0.1")
	_, stdout, _ := probe(t.Context(), "connect-rate", "-duration", "200ms", "-workers", "1", address)
	var got map[string]float64
	if err := json.Unmarshal([]byte(strings.Replace(stdout, `""`, "0", 1)), &got); err != nil {
		t.Fatal(err, stdout)
	}
	p50, p99 := got["p50_seconds"], got["p99_seconds"]
	if p50 <= 0 || p99 < p50 || p50*got["connections"] > 2*got["seconds"] {
		t.Errorf("p50 %g s, p99 %g s of %g in %g s", p50, p99, got["connections"], got["seconds"])
	}
}

func TestPercentileIsTheValueThatSoManyDoNotExceed(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	if p50, p99 := percentile(hundred, 50), percentile(hundred, 99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %g, p99 %g", p50, p99)
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("of none: %g", got)
	}
}

func TestRatesToNobodyFail(t *testing.T) {
	for _, command := range []string{"connect-rate", "throughput"} {
		status, _, stderr := probe(t.Context(), command, "-duration", "100ms", "127.0.0.1:1")
		if status != 1 || !strings.Contains(stderr, "connection refused") {
			t.Errorf("%s: status %d, %q", command, status, stderr)
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if status, _, stderr := probe(ctx, "sleep"); status != 0 {
		t.Errorf("status %d, %q", status, stderr)
	}
}
