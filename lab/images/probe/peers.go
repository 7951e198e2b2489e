package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

const maxLine = 256

// serveTCP sends each peer the peer's own address, and closes.
func serveTCP(ctx context.Context, flags *flag.FlagSet, args []string, _ io.Writer) error {
	return listenTCP(ctx, flags, args, func(conn *net.TCPConn) {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(conn, seen(conn.RemoteAddr())); err != nil {
			return
		}
		// Closing with unread data sends RST, which could overtake the answer: read to the end.
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	})
}

// sink reads everything and answers nothing: the other end of flood, connect-rate and throughput.
func sink(ctx context.Context, flags *flag.FlagSet, args []string, _ io.Writer) error {
	return listenTCP(ctx, flags, args, func(conn *net.TCPConn) {
		defer conn.Close()
		buffer := make([]byte, 64<<10)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	})
}

// listenTCP passes each connection to any of args to handle, until ctx ends.
func listenTCP(ctx context.Context, flags *flag.FlagSet, args []string, handle func(*net.TCPConn)) error {
	words, err := operands(flags, args, 1, math.MaxInt)
	if err != nil {
		return err
	}
	failed := make(chan error, len(words))
	for _, word := range words {
		listener, err := net.Listen("tcp", word)
		if err != nil {
			return err
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil {
					failed <- err
					return
				}
				go handle(conn.(*net.TCPConn))
			}
		}()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// serveUDP sends each sender the sender's own address.
func serveUDP(ctx context.Context, flags *flag.FlagSet, args []string, _ io.Writer) error {
	words, err := operands(flags, args, 1, math.MaxInt)
	if err != nil {
		return err
	}
	for _, word := range words {
		conn, err := net.ListenPacket("udp", word)
		if err != nil {
			return err
		}
		defer conn.Close()
		go func() {
			buffer := make([]byte, 2048)
			for {
				_, peer, err := conn.ReadFrom(buffer)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil { // an ICMP error for an earlier answer is not the next sender's
					_, _ = conn.WriteTo([]byte(seen(peer)), peer)
				}
			}
		}()
	}
	<-ctx.Done()
	return nil
}

// askTCP asks once and prints serveTCP's answer. A mark on its packets needs CAP_NET_ADMIN.
func askTCP(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	timeout := flags.Duration("timeout", 5*time.Second, "")
	mark := flags.Int("mark", 0, "")
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		if *mark == 0 {
			return nil
		}
		var refused error
		err := raw.Control(func(fd uintptr) {
			refused = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_MARK, *mark)
		})
		return errors.Join(err, refused)
	}}
	conn, err := dialer.DialContext(ctx, "tcp", words[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	line, err := io.ReadAll(io.LimitReader(conn, maxLine))
	if err != nil {
		return err
	}
	return printLine(out, line)
}

// askUDP asks until a serveUDP answers: a datagram may be lost without any fault.
func askUDP(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	timeout := flags.Duration("timeout", 5*time.Second, "")
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", words[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buffer := make([]byte, maxLine)
	last := errors.New("no answer")
	for ctx.Err() == nil {
		until := time.Now().Add(500 * time.Millisecond)
		_ = conn.SetReadDeadline(until)
		if _, err := conn.Write([]byte("?\n")); err != nil {
			last = err
		} else if n, err := conn.Read(buffer); err == nil {
			return printLine(out, buffer[:n])
		} else if !errors.Is(err, net.ErrClosed) {
			last = err
		}
		select { // an ICMP error comes at once
		case <-ctx.Done():
		case <-time.After(time.Until(until)):
		}
	}
	return fmt.Errorf("%s does not answer within %s: %w", words[0], *timeout, last)
}

func printLine(out io.Writer, line []byte) error {
	text := strings.TrimSpace(string(line))
	if text == "" {
		return errors.New("the answer is empty")
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

// seen is the peer's address, without port and in its own family, as one line.
func seen(peer net.Addr) string {
	parsed, err := netip.ParseAddrPort(peer.String())
	if err != nil {
		return peer.String() + "\n"
	}
	return parsed.Addr().Unmap().WithZone("").String() + "\n"
}
