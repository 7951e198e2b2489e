package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// answer asks a handler for path as the peer 198.51.100.10 and returns the response.
func answer(handler http.Handler, method, path string, header http.Header) *http.Response {
	request := httptest.NewRequest(method, path, nil)
	request.RemoteAddr = "198.51.100.10:40000"
	for name, values := range header {
		request.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

func TestTheAnswerIsTheRecipesJSON(t *testing.T) {
	echoes := map[Family]string{IPv4: serveOn(t, IPv4, says("IPv4,203.0.113.20,")).URL}
	echoes[IPv6] = serveOn(t, IPv6, says("2001:db8::0020")).URL
	header := http.Header{"X-Forwarded-For": {"128.66.0.10", "172.20.0.1"}}
	response := answer(NewHandler(echoes, 5*time.Second), http.MethodGet, "/", header)
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type: %s", kind)
	}
	body, _ := io.ReadAll(response.Body)
	const want = `{
  "x-forwarded-for": "128.66.0.10, 172.20.0.1",
  "ipv4": "203.0.113.20",
  "ipv6": "2001:db8::20",
  "remote": "198.51.100.10"
}
`
	if string(body) != want {
		t.Errorf("got %s", body)
	}
}

func TestWhatIsNotKnownIsNull(t *testing.T) {
	response := answer(NewHandler(nil, time.Second), http.MethodGet, "/", nil)
	var got map[string]any
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x-forwarded-for", "ipv4", "ipv6"} {
		if value, there := got[name]; !there || value != nil {
			t.Errorf("%s: %v", name, value)
		}
	}
	if errors, _ := got["errors"].(map[string]any); len(errors) != 2 {
		t.Errorf("errors: %v", got["errors"])
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %s: the container is well, its network may not be", response.Status)
	}
}

func TestOtherPathsAskNothing(t *testing.T) {
	echoes := map[Family]string{IPv4: serveOn(t, IPv4, func(http.ResponseWriter, *http.Request) {
		t.Error("the echo was asked")
	}).URL}
	handler := NewHandler(echoes, time.Second)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/healthz", http.StatusOK},
		{http.MethodGet, "/favicon.ico", http.StatusNotFound},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
	} {
		if got := answer(handler, c.method, c.path, nil); got.StatusCode != c.status {
			t.Errorf("%s %s: %s", c.method, c.path, got.Status)
		}
	}
}

func TestManyRequestsAskTheEchoesFewAtATime(t *testing.T) {
	var now, most atomic.Int64
	echoes := map[Family]string{IPv4: serveOn(t, IPv4, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		time.Sleep(20 * time.Millisecond)
		echo(w, r)
	}).URL}
	handler := NewHandler(echoes, 5*time.Second)
	var group sync.WaitGroup
	for range 3 * maxAsking {
		group.Add(1)
		go func() {
			defer group.Done()
			if got := answer(handler, http.MethodGet, "/", nil); got.StatusCode != http.StatusOK {
				t.Errorf("status %s", got.Status)
			}
		}()
	}
	group.Wait()
	if most.Load() > maxAsking {
		t.Errorf("%d asked at a time", most.Load())
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, "127.0.0.1:0", nil) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still serving")
	}
}

func TestServeNamesAnAddressThatItCannotHave(t *testing.T) {
	err := serve(t.Context(), "203.0.113.20:80", nil)
	if err == nil || !strings.Contains(err.Error(), "203.0.113.20:80") {
		t.Errorf("got %v", err)
	}
}
