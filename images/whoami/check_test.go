package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// check runs the sub-command on input and returns its exit status and what it printed.
func check(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	none := func(string) string { return "" }
	status = run(t.Context(), append([]string{"check"}, args...), none, strings.NewReader(input), &out, &errs)
	return status, out.String(), errs.String()
}

func TestExpectationsAreReadInFamilyOrder(t *testing.T) {
	got, err := ParseExpectations(strings.NewReader(`
# the network mail
echo-ipv6 http://[2001:db8:ffff::1]/
ipv6 2001:db8::0020
  echo-ipv4   https://echo.example/api?x=1
ipv4 203.0.113.20
`), map[Family]string{IPv4: "http://other.example/"})
	want := []Expectation{
		{IPv4, addr("203.0.113.20"), "https://echo.example/api?x=1"},
		{IPv6, addr("2001:db8::20"), "http://[2001:db8:ffff::1]/"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestBadInputIsRefusedWithItsLine(t *testing.T) {
	for input, want := range map[string]string{
		"":                                    "nothing is expected",
		"echo-ipv4 http://198.51.100.1/":      "nothing is expected",
		"ipv4 203.0.113.20":                   "neither an echo-ipv4 line nor ECHO_IPV4 says where to ask",
		"\nipv5 203.0.113.20":                 `line 2: "ipv5" is none of`,
		"ipv4":                                `line 1: "ipv4" is not a word and a value`,
		"ipv4 203.0.113.20 x":                 "line 1:",
		"ipv4 2001:db8::20":                   `line 1: "2001:db8::20" is no IPv4 address`,
		"ipv6 203.0.113.20":                   "is no IPv6 address",
		"ipv4 203.0.113.20/32":                "is no IPv4 address",
		"ipv4 203.0.113.20\nipv4 203.0.113.2": "line 2: ipv4 is given twice",
		"echo-ipv4 http://a/\necho-ipv4 http://b/": "line 2: echo-ipv4 is given twice",
		"echo-ipv4 198.51.100.1":                   "is no http or https URL",
		"echo-ipv4 ftp://198.51.100.1/":            "is no http or https URL",
	} {
		status, stdout, stderr := check(t, input)
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: status %d, %q; want %q in it", input, status, stderr, want)
		}
	}
}

func TestDeclaredAddressesPass(t *testing.T) {
	status, stdout, stderr := check(t, fmt.Sprintf(
		"ipv4 127.0.0.1\nipv6 ::1\necho-ipv4 %s\necho-ipv6 %s\n",
		serveOn(t, IPv4, echo).URL, serveOn(t, IPv6, echo).URL,
	))
	const want = `ipv4: this network leaves with 127.0.0.1, as declared
ipv6: this network leaves with ::1, as declared
`
	if status != 0 || stdout != want || stderr != "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

func TestOnlyDeclaredFamiliesAreAsked(t *testing.T) {
	other := serveOn(t, IPv6, func(http.ResponseWriter, *http.Request) { t.Error("IPv6 was asked") })
	status, stdout, _ := check(t, fmt.Sprintf(
		"ipv4 127.0.0.1\necho-ipv4 %s\necho-ipv6 %s\n", serveOn(t, IPv4, echo).URL, other.URL,
	))
	if status != 0 || strings.Contains(stdout, "ipv6") {
		t.Errorf("status %d, %q", status, stdout)
	}
}

func TestAWrongAddressFailsAtOnceAndTheOtherFamilyIsStillTold(t *testing.T) {
	var asked atomic.Int64
	wrong := serveOn(t, IPv4, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		says("203.0.113.101\n")(w, r)
	})
	start := time.Now()
	status, stdout, stderr := check(t, fmt.Sprintf(
		"ipv4 203.0.113.20\nipv6 ::1\necho-ipv4 %s\necho-ipv6 %s\n", wrong.URL, serveOn(t, IPv6, echo).URL,
	))
	const want = "ipv4: this network leaves with 203.0.113.101, but its declared public address is 203.0.113.20\n"
	if status != exitFailed || stderr != want || stdout != "ipv6: this network leaves with ::1, as declared\n" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	if asked.Load() != 1 || time.Since(start) > 5*time.Second {
		t.Errorf("asked %d times in %s", asked.Load(), time.Since(start))
	}
}

func TestANetworkThatIsLateIsWaitedFor(t *testing.T) {
	var asked atomic.Int64
	late := serveOn(t, IPv4, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		echo(w, r)
	})
	status, stdout, stderr := check(t, "ipv4 127.0.0.1\necho-ipv4 "+late.URL)
	if status != 0 || asked.Load() != 3 {
		t.Errorf("status %d after %d tries, %q, %q", status, asked.Load(), stdout, stderr)
	}
}

func TestANetworkThatDoesNotGetOutIsGivenUp(t *testing.T) {
	server := serveOn(t, IPv4, hangs)
	start := time.Now()
	status, stdout, stderr := check(t, "ipv4 203.0.113.20\necho-ipv4 "+server.URL, "-timeout", "300ms")
	want := fmt.Sprintf("ipv4: this network does not reach %s (tried for 300ms): ", server.URL)
	if status != exitFailed || stdout != "" || !strings.HasPrefix(stderr, want) {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	if time.Since(start) > 3*time.Second {
		t.Errorf("took %s", time.Since(start))
	}
}

func TestTheReasonIsTheLastWholeTry(t *testing.T) {
	closed := serveOn(t, IPv4, echo)
	closed.Close()
	_, _, stderr := check(t, "ipv4 203.0.113.20\necho-ipv4 "+closed.URL, "-timeout", "500ms")
	if !strings.Contains(stderr, "connection refused") {
		t.Errorf("got %q", stderr)
	}
}

func TestAnAnswerThatIsNoAddressIsNotAskedForAgain(t *testing.T) {
	server := serveOn(t, IPv4, says("<html>a portal, please log in</html>"))
	start := time.Now()
	status, _, stderr := check(t, "ipv4 203.0.113.20\necho-ipv4 "+server.URL)
	if status != exitFailed || !strings.Contains(stderr, "ipv4: cannot tell with which address this network leaves: ") {
		t.Errorf("status %d, %q", status, stderr)
	}
	if time.Since(start) > 3*time.Second {
		t.Errorf("took %s", time.Since(start))
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out strings.Builder
	wanted := []Expectation{{IPv4, addr("203.0.113.20"), serveOn(t, IPv4, hangs).URL}}
	start := time.Now()
	if Check(ctx, wanted, time.Minute, &out, &out) || time.Since(start) > 3*time.Second {
		t.Errorf("took %s: %s", time.Since(start), out.String())
	}
}
