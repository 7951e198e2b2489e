// Command probe makes and answers the traffic of the lab's tests and bench.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: probe COMMAND

  sleep                                        wait for SIGTERM
  get [-4|-6] [-H k:v]… [-timeout 5s] URL      print the body; exit 3 when the status is not 2xx
  serve-tcp ADDR…                              answer each connection with the peer's address
  serve-udp ADDR…                              answer each datagram with the sender's address
  ask-tcp [-timeout 5s] [-mark N] ADDR         print what serve-tcp answers
  ask-udp [-timeout 5s] ADDR                   print what serve-udp answers (asks again every 0.5 s)
  sink ADDR…                                   accept TCP and read for ever
  flood [-interval 5ms] [-duration D] ADDR…    new TCP, long-lived TCP and UDP to every ADDR, never
                                               stopping on errors; JSON at the end or on SIGTERM
  spoof -from SOURCE [-kind udp|syn|stray|broken|other] [-count 20] [-interval 20ms] ADDR
                                               send packets with that source (needs CAP_NET_RAW)
  advertise LINK                               say there that this is the router for IPv6
  connect-rate [-duration 3s] [-workers 8] ADDR      new TCP connections: rate, p50 and p99, as JSON
  throughput [-duration 3s] [-streams 1] ADDR        bytes per second to a sink, as JSON

ADDR is host:port, with brackets around IPv6; servers take :port for both families.
Exit status: 0 done, 1 failed, 2 usage, 3 an HTTP status other than 2xx.
`

var (
	errUsage  = errors.New("usage")
	errStatus = errors.New("status")
)

// A command parses its own flags and returns when done or when ctx ends.
type command func(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error

var commands = map[string]command{
	"sleep":        sleep,
	"get":          get,
	"serve-tcp":    serveTCP,
	"serve-udp":    serveUDP,
	"ask-tcp":      askTCP,
	"ask-udp":      askUDP,
	"sink":         sink,
	"flood":        flood,
	"spoof":        spoof,
	"advertise":    advertise,
	"connect-rate": connectRate,
	"throughput":   throughput,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(stderr, usage)
		return 2
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard) // parseAddrs and run report the error
	err := commands[args[0]](ctx, flags, args[1:], stdout)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "probe %s: %v\n%s", args[0], err, usage)
		return 2
	case errors.Is(err, errStatus):
		fmt.Fprintf(stderr, "probe %s: %v\n", args[0], err)
		return 3
	default:
		fmt.Fprintf(stderr, "probe %s: %v\n", args[0], err)
		return 1
	}
}

// operands parses flags and returns the words after them, from least to most many.
func operands(flags *flag.FlagSet, args []string, least, most int) ([]string, error) {
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %v", errUsage, err)
	}
	if n := flags.NArg(); n < least || n > most {
		return nil, fmt.Errorf("%w: %d operands", errUsage, n)
	}
	return flags.Args(), nil
}

func sleep(ctx context.Context, flags *flag.FlagSet, args []string, _ io.Writer) error {
	if _, err := operands(flags, args, 0, 0); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
