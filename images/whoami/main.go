// Command whoami shows the addresses with which its container is seen on the internet.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: whoami [serve | egress]

  serve    answer HTTP on $LISTEN (default :80) with x-forwarded-for and the own egress addresses
  egress   [-timeout 5s]  ask $ECHO_IPV4 and $ECHO_IPV6 once and print the answer as JSON
`

// Exit statuses besides 0.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// A container's first process has no default action for signals: without this, docker stop waits.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	parse := func() bool {
		if flags.Parse(args) != nil {
			return false
		}
		if flags.NArg() > 0 {
			fmt.Fprintf(stderr, "whoami %s: unexpected %q\n%s", command, flags.Arg(0), usage)
			return false
		}
		return true
	}
	echoes := map[Family]string{IPv4: getenv("ECHO_IPV4"), IPv6: getenv("ECHO_IPV6")}

	switch command {
	case "serve":
		if !parse() {
			return exitUsage
		}
		listen := getenv("LISTEN")
		if listen == "" {
			listen = ":80"
		}
		if err := serve(ctx, listen, echoes); err != nil {
			fmt.Fprintf(stderr, "whoami serve: %v\n", err)
			return exitFailed
		}
		return 0
	case "egress":
		timeout := flags.Duration("timeout", 5*time.Second, "time limit for each echo")
		if !parse() {
			return exitUsage
		}
		if echoes[IPv4] == "" && echoes[IPv6] == "" {
			fmt.Fprintln(stderr, "whoami egress: set ECHO_IPV4 or ECHO_IPV6 to the URL of an address echo")
			return exitUsage
		}
		egress := AskAll(ctx, echoes, *timeout)
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(egress); err != nil {
			fmt.Fprintf(stderr, "whoami egress: %v\n", err)
			return exitFailed
		}
		for family, url := range echoes {
			if url != "" && egress.Errors[family] != "" {
				return exitFailed
			}
		}
		return 0
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	default:
		fmt.Fprintf(stderr, "whoami: no command %q\n%s", command, usage)
		return exitUsage
	}
}
