package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
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
	o := &orcaCollector{url: cfg.URL, heard: heard{}, http: requester{options: cfg.RequestOptions, tls: cfg.TLS, redirect: sameHost}}
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

// loadReport is a load report, with what its form tells beyond its numbers.
type loadReport struct {
	*orca.OrcaLoadReport
	said   map[string]bool   // fields that are there, be they 0; only the form TEXT tells
	faults map[string]string // by field: why it is not to be used
}

// parseORCA parses the value of an endpoint-load-metrics header in any of its three forms.
func parseORCA(value string) (*loadReport, error) {
	form, body, _ := strings.Cut(strings.TrimSpace(value), " ")
	body = strings.TrimSpace(body)
	r := &loadReport{OrcaLoadReport: new(orca.OrcaLoadReport)}
	var err error
	switch form {
	case "TEXT":
		r.parseText(body)
	case "JSON":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal([]byte(body), r.OrcaLoadReport)
	case "BIN":
		err = parseORCABinary(body, r.OrcaLoadReport)
	default:
		err = fmt.Errorf("form %.20q, expected TEXT, JSON or BIN", form)
	}
	return r, err
}

func parseORCABinary(body string, report *orca.OrcaLoadReport) error {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, report)
}

// parseText parses name=value or name:value, separated by commas. Names that are not of use here are passed over. A pair
// that is wrong costs itself; of one that is there twice, the first is taken.
func (r *loadReport) parseText(body string) {
	r.said, r.faults = make(map[string]bool), make(map[string]string)
	for pair := range strings.SplitSeq(body, ",") {
		name, text, ok := cutPair(strings.TrimSpace(pair))
		to := orcaField(r.OrcaLoadReport, name)
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case !ok:
			r.faults[""] = fmt.Sprintf("%.60q, expected name=number", pair)
		case to == nil:
		case err != nil:
			r.faults[name] = fmt.Sprintf("%.60q, expected %s=number", pair, name)
		case r.said[name] && v != *to:
			r.faults[""] = fmt.Sprintf("%s is there twice, with %v and %v; the first is taken", name, *to, v)
		default:
			*to, r.said[name] = v, true
		}
	}
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

// orcaFields are the fields of a load report that are of use, and what they are in a sample.
var orcaFields = []struct{ name, key string }{
	{"application_utilization", "utilization"}, {"cpu_utilization", "cpu"}, {"mem_utilization", "mem"},
	{"rps_fractional", "rps"}, {"eps", "eps"},
}

// heard remembers which fields a source has ever said. Protobuf does not tell 0 from not said; a 0 is believed from a
// source that has said more before.
type heard map[string]bool

// sample takes the application's own utilization if there is one, as gRPC's balancers do, else the CPU's. A number that
// makes no sense is named, and no other steps in for it.
func (h heard) sample(r *loadReport) Sample {
	var s Sample
	for _, f := range orcaFields {
		v := *orcaField(r.OrcaLoadReport, f.name)
		h[f.name] = h[f.name] || v > 0 || r.said[f.name]
		switch why := r.fault(f.name, v); {
		case why != "":
			s.lack(f.key, why)
		case h[f.name]:
			*s.number(f.key) = &v
		}
	}
	switch {
	case s.lacks("cpu") && s.Utilization == nil:
		s.lack("utilization", "it is that of the CPU")
	case !s.lacks("utilization"):
		s.Utilization = first(s.Utilization, s.CPU)
	}
	if why := r.faults[""]; why != "" {
		s.lack("report", why)
	}
	if len(s.Absent) == 0 && !slices.Contains(slices.Collect(maps.Values(h)), true) {
		s.Absent = append(s.Absent, absence{what: "report", why: "it says nothing yet", early: true})
	}
	return s
}

// fault says why a field is not to be used: JSON and protobuf can carry what a load report must not.
func (r *loadReport) fault(name string, v float64) string {
	if why := r.faults[name]; why != "" {
		return why
	}
	if !usable(v) || v < 0 {
		return fmt.Sprintf("%s is %v, expected a number from 0", name, v)
	}
	return ""
}
