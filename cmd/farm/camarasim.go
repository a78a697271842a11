package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coredns-farm/farm/qos/element/camara/sim"

	"github.com/spf13/cobra"
)

const camaraSimLong = `Play an operator that offers CAMARA Quality-On-Demand (1.1.0) and qos-profiles
(1.1.0), to try a broker's element on. It has no network: sessions are available
because time has passed, and end because somebody says so.

The APIs are at /quality-on-demand/v1 and /qos-profiles/v1, the token endpoint is at
/oauth2/token. What happens can be seen and steered below /sim, without credentials;
docs/camara.md tells how. Listen on other than loopback in closed networks alone.

SIGTERM and SIGINT end it. Logs go to the standard error.`

const camaraSimExample = `  farm camara-sim --secret-file camara.secret
  farm camara-sim --secret-file camara.secret --setup 2s --terminate-after 1m
  farm camara-sim --secret-file camara.secret --fail createSession=429/TOO_MANY_REQUESTSx2
  curl http://127.0.0.1:9091/sim/sessions`

// camaraSim is what the simulator's flags say.
type camaraSim struct {
	sim.Config
	listen, secretFile, cert, key, sinkCA string
}

func (a *app) camaraSimCommand() *cobra.Command {
	s := &camaraSim{listen: "127.0.0.1:9091"}
	s.ClientID = "farm"
	c := &cobra.Command{
		Use:     "camara-sim --secret-file FILE",
		Short:   "Play an operator with a CAMARA Quality-On-Demand API",
		Long:    camaraSimLong,
		Example: camaraSimExample,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.runCamaraSim(s) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&s.listen, "listen", s.listen, "where to listen: `HOST:PORT`")
	f.StringVar(&s.cert, "cert", "", "certificate to serve https with: a PEM `FILE` (default is http)")
	f.StringVar(&s.key, "key", "", "key of the certificate: a PEM `FILE`")
	f.StringVar(&s.ClientID, "client-id", s.ClientID, "`ID` of the one client there is")
	f.StringVar(&s.secretFile, "secret-file", "", "`FILE` with the client's secret; made, with a new one, if there is none")
	f.Var(absentIfZero(&s.Setup, atOnceOrLater), "setup", "time from a request to AVAILABLE (default at once)")
	f.Var(absentIfZero(&s.Terminate, aboveZeroDuration), "terminate-after", "time from AVAILABLE until the network ends a session (default never)")
	f.Var(absentIfZero(&s.Latency, atOnceOrLater), "latency", "time before every answer")
	f.Var(list(&s.Faults, "fault", parseFault), "fail", "make the first answers of an operation fail: OPERATION=STATUS[/CODE][xCOUNT]; may be repeated")
	f.StringVar(&s.sinkCA, "sink-ca", "", "authorities that sinks' certificates are checked with: a PEM `FILE` (default the system's)")
	for _, name := range []string{"cert", "key", "sink-ca"} {
		must(c.MarkFlagFilename(name, "pem", "crt", "key"))
	}
	return c
}

func parseFault(s string) (sim.Fault, error) { return sim.ParseFault(s) }

// runCamaraSim plays the operator until a signal ends it.
func (a *app) runCamaraSim(s *camaraSim) error {
	if s.secretFile == "" {
		return usagef("flag --secret-file: expected a file; it is made if there is none")
	}
	if (s.cert == "") != (s.key == "") {
		return usagef("flags --cert and --key: expected both or neither")
	}
	s.Log = slog.New(slog.NewTextHandler(a.err, nil))
	var err error
	if s.Secret, err = simSecret(s.secretFile); err != nil {
		return err
	}
	if s.Notifier, err = notifier(s.sinkCA); err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("flag --listen: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return s.serve(ctx, l)
}

// serve answers on a listener until the context ends.
func (s *camaraSim) serve(ctx context.Context, l net.Listener) error {
	p := sim.New(s.Config)
	defer p.Close()
	server := &http.Server{Handler: p, ReadTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	s.Log.Info("playing an operator", "address", l.Addr().String(), "client", s.ClientID)
	var err error
	if s.cert != "" {
		err = server.ServeTLS(l, s.cert, s.key)
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// maxSimSecret bounds the simulator's secret, in octets.
const maxSimSecret = 4096

// simSecret reads the client's secret, or makes a new one.
func simSecret(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret := rand.Text()
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("flag --secret-file: %w", err)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("flag --secret-file: %w", err)
	}
	defer f.Close()
	secret, err := io.ReadAll(io.LimitReader(f, maxSimSecret+1))
	if err != nil {
		return "", fmt.Errorf("flag --secret-file: %w", err)
	}
	if secret = bytes.TrimSpace(secret); len(secret) == 0 || len(secret) > maxSimSecret {
		return "", refusedf("flag --secret-file: %s: expected 1 to %d octets", path, maxSimSecret)
	}
	return string(secret), nil
}

// notifier makes the client that posts notifications.
func notifier(ca string) (*http.Client, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("flag --sink-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, refusedf("flag --sink-ca: %s: expected PEM certificates", ca)
		}
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true},
	}, nil
}

func atOnceOrLater(p *time.Duration) *value { return goDuration(p, fromZero) }
