package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// A hanging attempt must not stop the others, and must not accumulate to thousands.
	dialLimit  = time.Second
	maxDialing = 32
	// TCP_USER_TIMEOUT of tcp(7), which package syscall lacks.
	tcpUserTimeout = 18
)

// tally is what flood did to one address. Errors are expected: networks are removed and added.
type tally struct {
	newTCP, newTCPFailed              atomic.Int64
	longTCP, longTCPFailed, longBytes atomic.Int64
	udp, udpFailed                    atomic.Int64
	lastError                         atomic.Value
}

func (t *tally) note(count *atomic.Int64, err error) {
	count.Add(1)
	t.lastError.Store(err.Error())
}

func (t *tally) summary() map[string]any {
	last, _ := t.lastError.Load().(string)
	return map[string]any{
		"tcp_new":         t.newTCP.Load(),
		"tcp_new_failed":  t.newTCPFailed.Load(),
		"tcp_long":        t.longTCP.Load(),
		"tcp_long_failed": t.longTCPFailed.Load(),
		"tcp_long_bytes":  t.longBytes.Load(),
		"udp":             t.udp.Load(),
		"udp_failed":      t.udpFailed.Load(),
		"last_error":      last,
	}
}

// flood keeps every kind of flow running that could leave with a wrong source: new connections, old
// ones, and datagrams of both.
func flood(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	interval := flags.Duration("interval", 5*time.Millisecond, "")
	duration := flags.Duration("duration", 0, "0: until SIGTERM")
	words, err := operands(flags, args, 1, math.MaxInt)
	if err != nil {
		return err
	}
	if *interval <= 0 {
		return fmt.Errorf("%w: -interval must be positive", errUsage)
	}
	for _, word := range words {
		if _, _, err := net.SplitHostPort(word); err != nil {
			return fmt.Errorf("%w: %v", errUsage, err)
		}
	}
	if *duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *duration)
		defer cancel()
	}
	start := time.Now()
	tallies := map[string]*tally{}
	var group sync.WaitGroup
	for _, word := range words {
		if tallies[word] != nil {
			continue
		}
		t := &tally{}
		tallies[word] = t
		for _, generate := range []func(context.Context, string, time.Duration, *tally){
			floodNewTCP, floodLongTCP, floodUDP,
		} {
			group.Add(1)
			go func() {
				defer group.Done()
				generate(ctx, word, *interval, t)
			}()
		}
	}
	group.Wait()
	targets := map[string]any{}
	for word, t := range tallies {
		targets[word] = t.summary()
	}
	return printJSON(out, map[string]any{"seconds": time.Since(start).Seconds(), "targets": targets})
}

// floodNewTCP opens a connection each interval without waiting for the previous one.
func floodNewTCP(ctx context.Context, address string, interval time.Duration, t *tally) {
	dialing := make(chan struct{}, maxDialing)
	var group sync.WaitGroup
	defer group.Wait()
	dialer := net.Dialer{Timeout: dialLimit}
	every(ctx, interval, func() {
		select {
		case dialing <- struct{}{}:
		default:
			return
		}
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() { <-dialing }()
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err == nil {
				t.newTCP.Add(1)
				reset(conn)
			} else if ctx.Err() == nil {
				t.note(&t.newTCPFailed, err)
			}
		}()
	})
}

// floodLongTCP writes on one connection and opens the next only when it is broken.
func floodLongTCP(ctx context.Context, address string, interval time.Duration, t *tally) {
	dialer := net.Dialer{Timeout: dialLimit, Control: giveUpAfter(5 * time.Second)}
	var conn net.Conn
	defer func() {
		if conn != nil {
			reset(conn)
		}
	}()
	every(ctx, interval, func() {
		if conn == nil {
			made, err := dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				if ctx.Err() == nil {
					t.note(&t.longTCPFailed, err)
				}
				return
			}
			conn = made
			t.longTCP.Add(1)
		}
		_ = conn.SetWriteDeadline(time.Now().Add(dialLimit))
		n, err := conn.Write([]byte("flood\n"))
		t.longBytes.Add(int64(n))
		if err != nil {
			t.note(&t.longTCPFailed, err)
			reset(conn)
			conn = nil
		}
	})
}

// giveUpAfter limits how long sent data may be unacknowledged: the kernel would retry for a quarter
// of an hour, mostly silently.
func giveUpAfter(limit time.Duration) func(string, string, syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failed
	}
}

// floodUDP sends from one old socket, whose flow conntrack knows, and from a new one each time.
func floodUDP(ctx context.Context, address string, interval time.Duration, t *tally) {
	dialer := net.Dialer{Timeout: dialLimit}
	send := func(conn net.Conn) bool {
		_ = conn.SetWriteDeadline(time.Now().Add(dialLimit))
		if _, err := conn.Write([]byte("flood\n")); err != nil {
			t.note(&t.udpFailed, err)
			return false
		}
		t.udp.Add(1)
		return true
	}
	dial := func() net.Conn {
		conn, err := dialer.DialContext(ctx, "udp", address)
		if err != nil {
			if ctx.Err() == nil {
				t.note(&t.udpFailed, err)
			}
			return nil
		}
		return conn
	}
	var old net.Conn
	defer func() {
		if old != nil {
			_ = old.Close()
		}
	}()
	every(ctx, interval, func() {
		if old == nil {
			old = dial()
		}
		// "Connection refused" is the answer to an earlier datagram: the socket still works. Without
		// its source address, which the kernel chose when the socket was made, it does not.
		if old != nil && !send(old) && !send(old) {
			_ = old.Close()
			old = nil
		}
		if fresh := dial(); fresh != nil {
			send(fresh)
			_ = fresh.Close()
		}
	})
}

// every calls work at each interval until ctx ends; a slow call skips intervals.
func every(ctx context.Context, interval time.Duration, work func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			work()
		}
	}
}
