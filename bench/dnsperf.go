package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// load is what dnsperf is to ask.
type load struct {
	addr      string // of the server, HOST:PORT
	questions string // a file with a question a line
	option    string // an EDNS option CODE:HEX that every question carries; empty is none
	duration  time.Duration
	rate      int // questions a second; 0 is as many as are answered
}

// outcome is what came of a load.
type outcome struct {
	sent, completed, lost int
	failed                int // answered with an error
	octets                int // of a response, on average
	qps                   float64
}

// outstanding is how many questions a thread of dnsperf has open: enough that the server never waits for it.
const outstanding = 100

// dnsperf puts a load on a server and waits until it is over.
func dnsperf(ctx context.Context, l load) (outcome, error) {
	host, port, err := net.SplitHostPort(l.addr)
	if err != nil {
		return outcome{}, err
	}
	threads := max(1, runtime.NumCPU()/2) // the other half is the server's
	args := []string{"-s", host, "-p", port, "-d", l.questions, "-l", strconv.FormatFloat(l.duration.Seconds(), 'f', -1, 64),
		"-T", strconv.Itoa(threads), "-c", strconv.Itoa(8 * threads), "-q", strconv.Itoa(outstanding * threads), "-t", "2"}
	if l.rate > 0 {
		args = append(args, "-Q", strconv.Itoa(l.rate))
	}
	if l.option != "" {
		args = append(args, "-e", "-E", l.option)
	}
	out, err := exec.CommandContext(ctx, "dnsperf", args...).Output()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	if err != nil {
		return outcome{}, fmt.Errorf("dnsperf: %w\n%s", err, out)
	}
	return parseOutcome(string(out))
}

// parseOutcome reads what dnsperf 2 prints at its end.
func parseOutcome(text string) (outcome, error) {
	var o outcome
	o.qps = math.NaN()
	good := 0
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		what, said, _ := strings.Cut(strings.TrimSpace(s.Text()), ":")
		words := strings.Fields(strings.ReplaceAll(said, ",", " "))
		switch what {
		case "Queries sent":
			o.sent = count(words, "")
		case "Queries completed":
			o.completed = count(words, "")
		case "Queries lost":
			o.lost = count(words, "")
		case "Response codes":
			good = count(words, "NOERROR")
		case "Average packet size":
			o.octets = count(words, "response")
		case "Queries per second":
			o.qps = number(words)
		}
	}
	if o.completed < 1 || o.completed > o.sent || good > o.completed || o.lost > o.sent || !(o.qps > 0) || math.IsInf(o.qps, 0) {
		return outcome{}, fmt.Errorf("expected the statistics of dnsperf, with answers, got:\n%s", text)
	}
	o.failed = o.completed - good
	return o, nil
}

// count returns the whole number after a word, or the first one; 0 if there is none.
func count(words []string, after string) int {
	for i, w := range words {
		if after == "" || i > 0 && words[i-1] == after {
			n, err := strconv.Atoi(w)
			if err != nil || n < 0 {
				return 0
			}
			return n
		}
	}
	return 0
}

func number(words []string) float64 {
	if len(words) == 0 {
		return math.NaN()
	}
	x, err := strconv.ParseFloat(words[0], 64)
	if err != nil {
		return math.NaN()
	}
	return x
}
