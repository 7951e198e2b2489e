package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// connectRate opens TCP connections as fast as its workers can; it counts and times them.
func connectRate(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	duration := flags.Duration("duration", 3*time.Second, "")
	workers := flags.Int("workers", 8, "")
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	if *workers < 1 {
		return fmt.Errorf("%w: -workers must be positive", errUsage)
	}
	start := time.Now()
	end := start.Add(*duration)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var made, failed atomic.Int64
	var lastError atomic.Value
	took := make([][]float64, *workers)
	var group sync.WaitGroup
	for worker := range *workers {
		group.Add(1)
		go func() {
			defer group.Done()
			dialer := net.Dialer{Timeout: time.Second}
			for ctx.Err() == nil {
				began := time.Now()
				conn, err := dialer.DialContext(ctx, "tcp", words[0])
				if err == nil {
					made.Add(1)
					took[worker] = append(took[worker], time.Since(began).Seconds())
					reset(conn)
				} else if ctx.Err() == nil && time.Now().Before(end) { // cut short is not failed
					failed.Add(1)
					lastError.Store(err.Error())
					pause(ctx, time.Millisecond)
				}
			}
		}()
	}
	group.Wait()
	seconds := time.Since(start).Seconds()
	last, _ := lastError.Load().(string)
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	err = printJSON(out, map[string]any{
		"connections": made.Load(),
		"failed":      failed.Load(),
		"last_error":  last,
		"seconds":     seconds,
		"per_second":  float64(made.Load()) / seconds,
		"p50_seconds": percentile(sorted, 50),
		"p99_seconds": percentile(sorted, 99),
	})
	if err == nil && made.Load() == 0 {
		return fmt.Errorf("no connection to %s: %s", words[0], last)
	}
	return err
}

// percentile returns the value that so many percent of the sorted ones do not exceed; 0 of none.
func percentile(sorted []float64, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*percent/100]
}

// throughput writes to a sink on several streams and counts the bytes that it accepts.
func throughput(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	duration := flags.Duration("duration", 3*time.Second, "")
	streams := flags.Int("streams", 1, "")
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	if *streams < 1 {
		return fmt.Errorf("%w: -streams must be positive", errUsage)
	}
	conns := make([]net.Conn, *streams)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	for i := range conns {
		if conns[i], err = dialer.DialContext(ctx, "tcp", words[0]); err != nil {
			return err
		}
		defer reset(conns[i])
	}
	var total atomic.Int64
	start := time.Now()
	failed := make(chan error, *streams)
	var group sync.WaitGroup
	for _, conn := range conns {
		group.Add(1)
		go func() {
			defer group.Done()
			buffer := make([]byte, 128<<10)
			_ = conn.SetWriteDeadline(start.Add(*duration))
			for time.Since(start) < *duration && ctx.Err() == nil {
				n, err := conn.Write(buffer)
				total.Add(int64(n))
				if err != nil {
					if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
						failed <- err
					}
					return
				}
			}
		}()
	}
	group.Wait()
	seconds := time.Since(start).Seconds()
	select {
	case err := <-failed:
		return err
	default:
	}
	return printJSON(out, map[string]any{
		"bytes":            total.Load(),
		"seconds":          seconds,
		"bytes_per_second": float64(total.Load()) / seconds,
	})
}

// reset closes with RST, so that neither side keeps the port in TIME_WAIT.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
