package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// A lost SYN is sent again after 1 s and 3 s: one try should live to see that.
	tryLimit = 4 * time.Second
	tryPause = 200 * time.Millisecond
)

// Expectation is the declared public address of one family and the echo that can see it.
type Expectation struct {
	Family  Family
	Address netip.Addr
	Echo    string
}

// ParseExpectations reads check's input, IPv4 first in the result. Blank lines and lines that
// start with # are skipped. An echo without an address is fine: the family is not declared.
// Where there is no echo line for a family, the one in known is asked.
func ParseExpectations(input io.Reader, known map[Family]string) ([]Expectation, error) {
	addresses := map[Family]netip.Addr{}
	echoes := map[Family]string{}
	lines := bufio.NewScanner(input)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fail := func(format string, args ...any) error {
			return fmt.Errorf("line %d: %s", number, fmt.Sprintf(format, args...))
		}
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fail("%q is not a word and a value", shorten(line))
		}
		word, value := fields[0], fields[1]
		name, isEcho := strings.CutPrefix(word, "echo-")
		family := Family(name)
		if family != IPv4 && family != IPv6 {
			return nil, fail("%q is none of ipv4, ipv6, echo-ipv4, echo-ipv6", shorten(word))
		}
		if isEcho {
			if echoes[family] != "" {
				return nil, fail("%s is given twice", word)
			}
			parsed, err := url.Parse(value)
			if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
				return nil, fail("%q is no http or https URL", shorten(value))
			}
			echoes[family] = value
			continue
		}
		if addresses[family].IsValid() {
			return nil, fail("%s is given twice", word)
		}
		addr, err := family.Parse(value)
		if err != nil {
			return nil, fail("%v", err)
		}
		addresses[family] = addr
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	var wanted []Expectation
	for _, family := range families {
		addr, declared := addresses[family]
		if !declared {
			continue
		}
		if echoes[family] == "" {
			echoes[family] = known[family]
		}
		if echoes[family] == "" {
			return nil, fmt.Errorf("%s is expected, but neither an echo-%s line nor ECHO_%s says where to ask", family, family, strings.ToUpper(string(family)))
		}
		wanted = append(wanted, Expectation{family, addr, echoes[family]})
	}
	if len(wanted) == 0 {
		return nil, errors.New("nothing is expected: give ipv4 ADDR or ipv6 ADDR")
	}
	return wanted, nil
}

// Check asks for each expectation, all at a time, and prints one line each: to good where the
// address is the declared one, to bad where not. It reports whether all are good.
func Check(ctx context.Context, wanted []Expectation, timeout time.Duration, good, bad io.Writer) bool {
	results := make([]error, len(wanted))
	var group sync.WaitGroup
	for i, want := range wanted {
		group.Add(1)
		go func() {
			defer group.Done()
			results[i] = want.check(ctx, timeout)
		}()
	}
	group.Wait()
	passed := true
	for i, want := range wanted {
		if err := results[i]; err != nil {
			passed = false
			fmt.Fprintf(bad, "%s: %v\n", want.Family, err)
		} else {
			fmt.Fprintf(good, "%s: this network leaves with %s, as declared\n", want.Family, want.Address)
		}
	}
	return passed
}

// check asks until an answer comes or timeout is over. A network that has just started may not
// get out yet (an IPv6 address waits a second for duplicate address detection); an answer with
// another address is final.
func (want Expectation) check(ctx context.Context, timeout time.Duration) error {
	end := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var last error
	for {
		seen, err := want.ask(ctx)
		if err == nil {
			if seen != want.Address {
				return fmt.Errorf("this network leaves with %s, but its declared public address is %s", seen, want.Address)
			}
			return nil
		}
		var final *AnswerError
		if errors.As(err, &final) {
			return fmt.Errorf("cannot tell with which address this network leaves: %v", final)
		}
		// The deadline that cuts the last try short says less than the try before it.
		if last == nil || (ctx.Err() == nil && time.Now().Before(end)) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("this network does not reach %s (tried for %s): %v", want.Echo, timeout, last)
		case <-time.After(tryPause):
		}
	}
}

func (want Expectation) ask(ctx context.Context) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	return Ask(ctx, want.Family, want.Echo)
}
