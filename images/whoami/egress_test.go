package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseAnswerTakesAPlainAddressOrCSV(t *testing.T) {
	for _, c := range []struct {
		family Family
		body   string
		want   string
	}{
		{IPv4, "203.0.113.20", "203.0.113.20"},
		{IPv4, "203.0.113.20\r\n", "203.0.113.20"},
		{IPv4, "IPv4,203.0.113.20,Remaining fields reserved for future use,,,\n", "203.0.113.20"},
		{IPv6, "2001:db8::20\n", "2001:db8::20"},
		{IPv6, "2001:0db8:0:0::0020\n", "2001:db8::20"},
		{IPv6, "IPv6,2001:db8::20,v1.1,,,See the documentation", "2001:db8::20"},
	} {
		got, err := ParseAnswer(c.family, c.body)
		if err != nil || got != addr(c.want) {
			t.Errorf("ParseAnswer(%s, %q) = %v, %v; want %s", c.family, c.body, got, err, c.want)
		}
	}
}

func TestParseAnswerRefusesEverythingElse(t *testing.T) {
	for _, c := range []struct {
		family Family
		body   string
		want   string
	}{
		{IPv4, " \n", "empty"},
		{IPv4, "<html>Hello, world</html>", `"<html>Hello, world</html>" is no IPv4 address`},
		{IPv4, "2001:db8::20", "is no IPv4 address"},
		{IPv6, "203.0.113.20", "is no IPv6 address"},
		{IPv6, "::ffff:203.0.113.20", "is no IPv6 address"},
		{IPv6, "fe80::1%eth0", "is no IPv6 address"},
		{IPv6, "IPv4,203.0.113.20,", `"203.0.113.20" is no IPv6 address`},
		{IPv4, "203.0.113.20\n203.0.113.21", "is no IPv4 address"},
		{IPv4, "IPv4,", `"" is no IPv4 address`},
		{IPv4, strings.Repeat("x", 1000), "x…"},
	} {
		_, err := ParseAnswer(c.family, c.body)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseAnswer(%s, %q): error %v; want %q in it", c.family, c.body, err, c.want)
		}
	}
}

func TestAskReturnsWhatTheEchoSees(t *testing.T) {
	for _, family := range families {
		t.Run(string(family), func(t *testing.T) {
			server := serveOn(t, family, echo)
			got, err := Ask(bounded(t, 5*time.Second), family, server.URL)
			if err != nil || got != addr(loopback[family]) {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}

func TestAskNeverUsesTheOtherFamily(t *testing.T) {
	server := serveOn(t, IPv6, echo)
	if got, err := Ask(bounded(t, 5*time.Second), IPv4, server.URL); err == nil {
		t.Fatalf("an IPv6 echo answered %v over IPv4", got)
	}
	redirecting := serveOn(t, IPv4, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, server.URL, http.StatusFound)
	})
	if got, err := Ask(bounded(t, 5*time.Second), IPv4, redirecting.URL); err == nil {
		t.Fatalf("a redirect led to the other family, which answered %v", got)
	}
}

func TestAskFollowsAFewRedirectsWithinTheFamily(t *testing.T) {
	server := serveOn(t, IPv4, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/once":
			http.Redirect(w, r, "/", http.StatusMovedPermanently)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			echo(w, r)
		}
	})
	if _, err := Ask(bounded(t, 5*time.Second), IPv4, server.URL+"/once"); err != nil {
		t.Error(err)
	}
	_, err := Ask(bounded(t, 5*time.Second), IPv4, server.URL+"/loop")
	if err == nil || !strings.Contains(err.Error(), "redirects more than") {
		t.Errorf("got %v", err)
	}
}

func TestAskIgnoresProxiesOfTheEnvironment(t *testing.T) {
	proxy := serveOn(t, IPv4, says("203.0.113.99"))
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	// Not loopback by name, since net/http never sends loopback through a proxy.
	if got, err := Ask(bounded(t, 200*time.Millisecond), IPv4, "http://whoami.invalid/"); err == nil {
		t.Fatalf("a proxy answered %v", got)
	}
}

func TestAskMakesANewConnectionEachTime(t *testing.T) {
	var mutex sync.Mutex
	peers := map[string]bool{}
	server := serveOn(t, IPv4, func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		peers[r.RemoteAddr] = true
		echo(w, r)
	})
	for range 3 {
		if _, err := Ask(bounded(t, 5*time.Second), IPv4, server.URL); err != nil {
			t.Fatal(err)
		}
	}
	if len(peers) != 3 {
		t.Errorf("3 questions came over %d connections", len(peers))
	}
}

func TestAskTellsWhyItKnowsNoAddress(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"not found":   {status(http.StatusNotFound), "404 Not Found"},
		"unavailable": {status(http.StatusServiceUnavailable), "503 Service Unavailable"},
		"a page":      {says("<!doctype html>"), "is no IPv4 address"},
		"too long":    {says(strings.Repeat(" ", maxAnswer) + "203.0.113.20"), "over 4096 bytes"},
		"hanging":     {hangs, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serveOn(t, IPv4, c.handler)
			_, err := Ask(bounded(t, 300*time.Millisecond), IPv4, server.URL)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAskAllAsksBothFamiliesAtATime(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	meet := func(w http.ResponseWriter, r *http.Request) {
		both.Done()
		both.Wait() // answered only once the other has been asked too
		echo(w, r)
	}
	echoes := map[Family]string{IPv4: serveOn(t, IPv4, meet).URL, IPv6: serveOn(t, IPv6, meet).URL}
	got := AskAll(t.Context(), echoes, 5*time.Second)
	if got.Errors != nil || *got.IPv4 != addr("127.0.0.1") || *got.IPv6 != addr("::1") {
		t.Fatalf("got %+v", got)
	}
}

func TestAskAllGivesAReasonForWhatItDoesNotKnow(t *testing.T) {
	got := AskAll(t.Context(), map[Family]string{IPv4: serveOn(t, IPv4, hangs).URL}, 100*time.Millisecond)
	if got.IPv4 != nil || !strings.Contains(got.Errors[IPv4], "deadline exceeded") {
		t.Errorf("IPv4: %v, %q", got.IPv4, got.Errors[IPv4])
	}
	if got.IPv6 != nil || got.Errors[IPv6] != "not asked: ECHO_IPV6 is not set" {
		t.Errorf("IPv6: %v, %q", got.IPv6, got.Errors[IPv6])
	}
}
