package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// headers is a repeatable -H flag, as in curl.
type headers []string

func (h *headers) String() string { return strings.Join(*h, ", ") }

func (h *headers) Set(value string) error {
	if !strings.Contains(value, ":") {
		return fmt.Errorf("want name:value")
	}
	*h = append(*h, value)
	return nil
}

// get is a small curl: one family when asked, no proxy, no redirect, no connection kept.
func get(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	only4 := flags.Bool("4", false, "")
	only6 := flags.Bool("6", false, "")
	timeout := flags.Duration("timeout", 5*time.Second, "")
	var extra headers
	flags.Var(&extra, "H", "")
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	network := "tcp"
	switch {
	case *only4 && *only6:
		return fmt.Errorf("%w: -4 and -6 exclude each other", errUsage)
	case *only4:
		network = "tcp4"
	case *only6:
		network = "tcp6"
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, words[0], nil)
	if err != nil {
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	for _, header := range extra {
		name, value, _ := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		if strings.EqualFold(name, "Host") {
			request.Host = value // net/http takes it from here only
		} else {
			request.Header.Add(name, value)
		}
	}
	dialer := &net.Dialer{}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%w: %s answers %s", errStatus, words[0], response.Status)
	}
	return nil
}
