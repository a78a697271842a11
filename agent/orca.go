package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	orca "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ORCA is the collector of Open Request Cost Aggregation load reports: either the header of an HTTP response, or the
// out-of-band gRPC service.
type ORCA struct {
	URL            string           `yaml:"url"`  // asked each time; the report is in its header endpoint-load-metrics
	GRPC           string           `yaml:"grpc"` // host:port of the OpenRcaService
	TLS            *TLS             `yaml:"tls"`  // for grpc, whether there is TLS at all
	RequestOptions `yaml:",inline"` // of url
}

func (o *ORCA) validate() error {
	switch {
	case (o.URL == "") == (o.GRPC == ""):
		return errors.New("expected one of url and grpc")
	case o.URL != "":
		if err := checkURL(o.URL); err != nil {
			return fmt.Errorf("url: %w", err)
		}
		return firstError(o.TLS.validate(), o.RequestOptions.validate(o.URL))
	case !o.RequestOptions.isZero():
		return errors.New("expected headers, bearer_token_file, basic_auth and cleartext only beside url")
	}
	if err := checkAddress(o.GRPC); err != nil {
		return fmt.Errorf("grpc: %w", err)
	}
	return o.TLS.validate()
}

const (
	orcaHeader    = "endpoint-load-metrics"
	orcaBinHeader = "endpoint-load-metrics-bin"
)

type orcaCollector struct {
	url   string
	http  requester
	heard heard
}

func newORCA(cfg *ORCA) (*orcaCollector, error) {
	o := &orcaCollector{url: cfg.URL, http: requester{options: cfg.RequestOptions, tls: cfg.TLS, redirect: sameHost}}
	return o, o.http.open()
}

func (o *orcaCollector) collect(ctx context.Context, _ time.Time) (Sample, error) {
	resp, err := o.http.get(ctx, o.url, "")
	if err != nil {
		return Sample{}, err
	}
	resp.Body.Close()
	value := resp.Header.Get(orcaHeader)
	if bin := resp.Header.Get(orcaBinHeader); value == "" && bin != "" {
		value = "BIN " + bin
	}
	if value == "" {
		return Sample{}, errors.New("no " + orcaHeader + " header")
	}
	report, err := parseORCA(value)
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", orcaHeader, err)
	}
	return o.heard.sample(report), nil
}

// parseORCA parses the value of an endpoint-load-metrics header in any of its three forms.
func parseORCA(value string) (*orca.OrcaLoadReport, error) {
	form, body, _ := strings.Cut(strings.TrimSpace(value), " ")
	body = strings.TrimSpace(body)
	report := new(orca.OrcaLoadReport)
	var err error
	switch form {
	case "TEXT":
		err = parseORCAText(body, report)
	case "JSON":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal([]byte(body), report)
	case "BIN":
		err = parseORCABinary(body, report)
	default:
		err = fmt.Errorf("form %.20q, expected TEXT, JSON or BIN", form)
	}
	if err != nil {
		return nil, err
	}
	return report, checkORCA(report)
}

func parseORCABinary(body string, report *orca.OrcaLoadReport) error {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, report)
}

// parseORCAText parses name=value or name:value, separated by commas. Names that are not of use here are checked and
// dropped; unknown ones as well, as the other two forms do.
func parseORCAText(body string, report *orca.OrcaLoadReport) error {
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(body, ",") {
		name, text, ok := cutPair(strings.TrimSpace(pair))
		v, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || !usable(v) {
			return fmt.Errorf("%.60q, expected name=number", pair)
		}
		if seen[name] {
			return fmt.Errorf("%.60q is there twice", name)
		}
		seen[name] = true
		if to := orcaField(report, name); to != nil {
			*to = v
		}
	}
	return nil
}

func cutPair(s string) (name, value string, ok bool) {
	i := strings.IndexAny(s, "=:")
	if i <= 0 {
		return "", "", false
	}
	return strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:]), true
}

func orcaField(r *orca.OrcaLoadReport, name string) *float64 {
	switch name {
	case "cpu_utilization":
		return &r.CpuUtilization
	case "mem_utilization":
		return &r.MemUtilization
	case "application_utilization":
		return &r.ApplicationUtilization
	case "rps_fractional":
		return &r.RpsFractional
	case "eps":
		return &r.Eps
	}
	return nil
}

func usable(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// checkORCA refuses numbers that JSON and protobuf can carry and a load report must not.
func checkORCA(r *orca.OrcaLoadReport) error {
	for _, name := range []string{"cpu_utilization", "mem_utilization", "application_utilization", "rps_fractional", "eps"} {
		if v := *orcaField(r, name); !usable(v) || v < 0 {
			return fmt.Errorf("%s is %v, expected a number from 0", name, v)
		}
	}
	return nil
}

// heard remembers which numbers a source has ever said. Protobuf does not tell 0 from not said; a 0 is believed from a
// source that has said more before.
type heard struct{ cpu, mem, app, rps, eps bool }

// sample takes the application's own utilisation if there is one, as gRPC's balancers do, else the CPU's.
func (h *heard) sample(r *orca.OrcaLoadReport) Sample {
	app := said0(&h.app, r.GetApplicationUtilization())
	s := Sample{
		CPU: said0(&h.cpu, r.GetCpuUtilization()),
		Mem: said0(&h.mem, r.GetMemUtilization()),
		RPS: said0(&h.rps, r.GetRpsFractional()),
		EPS: said0(&h.eps, r.GetEps()),
	}
	s.Utilization = first(app, s.CPU)
	return s
}

func said0(heard *bool, v float64) *float64 {
	*heard = *heard || v > 0
	if !*heard {
		return nil
	}
	return &v
}
