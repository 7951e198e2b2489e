package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Family is an IP family, under the name it has in the JSON.
type Family string

// The two families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

var families = []Family{IPv4, IPv6}

const (
	// An address, or one line of CSV. A page of HTML is an error at any length.
	maxAnswer    = 4 << 10
	maxRedirects = 3
)

// network is what net.Dial calls TCP over this family only.
func (f Family) network() string {
	if f == IPv4 {
		return "tcp4"
	}
	return "tcp6"
}

// word is the family in prose.
func (f Family) word() string {
	if f == IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

// Parse returns the address in text if it is one of this family.
func (f Family) Parse(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.Is4In6() || addr.Is4() != (f == IPv4) {
		return netip.Addr{}, fmt.Errorf("%q is no %s address", shorten(text), f.word())
	}
	return addr, nil
}

// Egress is the addresses with which this container leaves; null where it is not known, with the
// reason in Errors.
type Egress struct {
	IPv4   *netip.Addr       `json:"ipv4"`
	IPv6   *netip.Addr       `json:"ipv6"`
	Errors map[Family]string `json:"errors,omitempty"`
}

// AskAll asks the echo of each family, both at a time, each for no longer than limit.
func AskAll(ctx context.Context, echoes map[Family]string, limit time.Duration) Egress {
	type answer struct {
		addr netip.Addr
		err  error
	}
	answers := make([]answer, len(families))
	var group sync.WaitGroup
	for i, family := range families {
		if echoes[family] == "" {
			answers[i].err = fmt.Errorf("not asked: ECHO_%s is not set", strings.ToUpper(string(family)))
			continue
		}
		group.Add(1)
		go func() {
			defer group.Done()
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			answers[i].addr, answers[i].err = Ask(ctx, family, echoes[family])
		}()
	}
	group.Wait()

	var egress Egress
	for i, family := range families {
		if err := answers[i].err; err != nil {
			if egress.Errors == nil {
				egress.Errors = map[Family]string{}
			}
			egress.Errors[family] = err.Error()
		} else if family == IPv4 {
			egress.IPv4 = &answers[i].addr
		} else {
			egress.IPv6 = &answers[i].addr
		}
	}
	return egress
}

// Ask asks the echo at url, over family alone and on a connection of its own, with which address
// it sees this container. An answer that is no such address is an error.
func Ask(ctx context.Context, family Family, url string) (netip.Addr, error) {
	dialer := &net.Dialer{}
	client := &http.Client{
		Transport: &http.Transport{
			// No proxy from the environment: its own address would be seen. No connection is
			// kept: NAT is decided once per connection, and the question is what it is now.
			Proxy:             nil,
			DisableKeepAlives: true,
			// Redirects are dialled here too, so that none can lead to the other family.
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, family.network(), address)
			},
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("the echo redirects more than %d times", maxRedirects)
			}
			return nil
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return netip.Addr{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return netip.Addr{}, fmt.Errorf("%s answers %s", url, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return netip.Addr{}, err
	}
	if len(body) > maxAnswer {
		return netip.Addr{}, fmt.Errorf("%s answers with over %d bytes, not with an address", url, maxAnswer)
	}
	addr, err := ParseAnswer(family, string(body))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %v", url, err)
	}
	return addr, nil
}

// ParseAnswer reads an echo's answer: the plain address, or a line of CSV as ip4only.me and
// ip6only.me give it ("IPv4,203.0.113.20,…").
func ParseAnswer(family Family, body string) (netip.Addr, error) {
	text := strings.TrimSpace(body)
	if text == "" {
		return netip.Addr{}, errors.New("the answer is empty")
	}
	if kind, rest, isCSV := strings.Cut(text, ","); isCSV && (kind == IPv4.word() || kind == IPv6.word()) {
		text, _, _ = strings.Cut(rest, ",")
	}
	addr, err := family.Parse(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("the answer %w", err)
	}
	return addr, nil
}

// shorten limits foreign text in a message.
func shorten(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
