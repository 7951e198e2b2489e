package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEgressPrintsJSONAndFailsWithItsEcho(t *testing.T) {
	broken := serveOn(t, IPv4, says("nothing"))
	for name, c := range map[string]struct {
		environment map[string]string
		status      int
		ipv4        any
	}{
		"one family declared": {map[string]string{"ECHO_IPV4": serveOn(t, IPv4, echo).URL}, 0, "127.0.0.1"},
		"a useless echo":      {map[string]string{"ECHO_IPV4": broken.URL}, exitFailed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			getenv := func(name string) string { return c.environment[name] }
			status := run(t.Context(), []string{"egress"}, getenv, &out, &errs)
			var got map[string]any
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
				t.Fatal(err)
			}
			if status != c.status || got["ipv4"] != c.ipv4 {
				t.Errorf("status %d, %s%s", status, out.String(), errs.String())
			}
		})
	}
}

func TestUsageErrorsAreToldFromFailures(t *testing.T) {
	for _, args := range []string{"nothing", "egress", "egress -x", "check", "serve more"} {
		var out, errs strings.Builder
		status := run(t.Context(), strings.Fields(args), func(string) string { return "" }, &out, &errs)
		if status != exitUsage || out.String() != "" || errs.String() == "" {
			t.Errorf("%s: status %d, %q, %q", args, status, out.String(), errs.String())
		}
	}
}
