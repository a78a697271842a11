package agent

import (
	"context"
	"encoding/base64"
	"math"
	"net"
	"net/http"
	"testing"
	"time"

	orca "github.com/cncf/xds/go/xds/data/orca/v3"
	orcaservice "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	grpcorca "google.golang.org/grpc/orca"
	"google.golang.org/protobuf/proto"
)

// binary is a report in the third form.
func binary(t testing.TB, r *orca.OrcaLoadReport) string {
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

var orcaTests = []struct{ name, header, want, err string }{
	{"text", "TEXT cpu_utilization=0.7,application_utilization=0.8,mem_utilization=0.9,rps_fractional=1000,eps=2,named_metrics.foo=123,utilization.total=0.5",
		"utilization=0.8 cpu=0.7 mem=0.9 rps=1000 eps=2", ""},
	{"text with colons", "TEXT cpu_utilization:0.7, rps_fractional:10", "utilization=0.7 cpu=0.7 rps=10", ""},
	{"text above 1", "TEXT cpu_utilization=1.7", "utilization=1.7 cpu=1.7", ""},
	{"json", `JSON {"cpu_utilization":0.7,"memUtilization":0.25,"rps_fractional":5,"named_metrics":{"a":1},"from_the_future":true}`,
		"utilization=0.7 cpu=0.7 mem=0.25 rps=5", ""},
	{"an unknown name", "TEXT from_the_future=1,eps=3", "eps=3", ""},
	{"0 is said", "TEXT cpu_utilization=0", "utilization=0 cpu=0", ""},
	{"nothing", "TEXT from_the_future=1", "(report: it says nothing yet)", ""},
	{"nothing in JSON", `JSON {"cpu_utilization":0}`, "(report: it says nothing yet)", ""},
	// What is wrong costs itself, and no other number steps in for it.
	{"twice", "TEXT eps=1,eps=1,rps_fractional=2", "rps=2 eps=1", ""},
	{"twice, another", "TEXT eps=1,eps=3,rps_fractional=2", "rps=2 eps=1 (report: eps is there twice, with 1 and 3; the first is taken)", ""},
	{"twice, not of use", "TEXT named_metrics.a=1,named_metrics.a=2,eps=1", "eps=1", ""},
	{"NaN", "TEXT cpu_utilization=NaN,eps=1", "eps=1 (cpu: cpu_utilization is NaN, expected a number from 0) (utilization: it is that of the CPU)", ""},
	{"the application's is NaN", "TEXT application_utilization=NaN,cpu_utilization=0.2",
		"cpu=0.2 (utilization: application_utilization is NaN, expected a number from 0)", ""},
	{"the application's stands in for the CPU's", "TEXT application_utilization=0.3,cpu_utilization=x",
		"utilization=0.3 (cpu: \"cpu_utilization=x\", expected cpu_utilization=number)", ""},
	{"infinite, not of use", "TEXT named_metrics.a=Inf,eps=1", "eps=1", ""},
	{"JSON NaN", `JSON {"cpu_utilization":"NaN","eps":2}`, "eps=2 (cpu: cpu_utilization is NaN, expected a number from 0) (utilization: it is that of the CPU)", ""},
	{"JSON infinite", `JSON {"eps":"Infinity","rps_fractional":3}`, "rps=3 (eps: eps is +Inf, expected a number from 0)", ""},
	{"negative", "TEXT eps=-1", "(eps: eps is -1, expected a number from 0)", ""},
	{"no value", "TEXT eps,rps_fractional=3", "rps=3 (report: \"eps\", expected name=number)", ""},
	{"no name", "TEXT =1", "(report: \"=1\", expected name=number)", ""},
	{"not JSON", "JSON {", "", "proto"},
	{"not base64", "BIN !", "", "illegal base64"},
	{"not protobuf", "BIN /////w", "", "proto"},
	{"another form", "XML <a/>", "", "expected TEXT, JSON or BIN"},
	{"no form", "cpu_utilization=0.7", "", "expected TEXT, JSON or BIN"},
}

func TestParseORCA(t *testing.T) {
	for _, tt := range orcaTests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := parseORCA(tt.header)
			if !wantError(t, err, tt.err) {
				wantSample(t, heard{}.sample(r), tt.want)
			}
		})
	}
}

func TestParseORCABinary(t *testing.T) {
	report := &orca.OrcaLoadReport{CpuUtilization: 0.3, RpsFractional: 7}
	for _, header := range []string{"BIN " + binary(t, report), "BIN " + base64.RawStdEncoding.EncodeToString(must(proto.Marshal(report)))} {
		r, err := parseORCA(header)
		wantError(t, err, "")
		wantSample(t, heard{}.sample(r), "utilization=0.3 cpu=0.3 rps=7")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Protobuf does not tell 0 from not said.
func TestZeroIsBelievedOnceMoreWasSaid(t *testing.T) {
	h := heard{}
	of := func(r *orca.OrcaLoadReport) Sample { return h.sample(&loadReport{OrcaLoadReport: r}) }
	wantSample(t, of(&orca.OrcaLoadReport{}), "(report: it says nothing yet)")
	wantSample(t, of(&orca.OrcaLoadReport{ApplicationUtilization: 0.5, Eps: 1}), "utilization=0.5 eps=1")
	wantSample(t, of(&orca.OrcaLoadReport{CpuUtilization: 0.25}), "utilization=0 cpu=0.25 eps=0")
}

func TestORCAOverHTTP(t *testing.T) {
	header, value := orcaHeader, ""
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if value != "" {
			w.Header().Set(header, value)
		}
	})
	o, err := newORCA(&ORCA{URL: s.URL})
	wantError(t, err, "")
	_, err = o.collect(soon(t), epoch)
	wantError(t, err, "no endpoint-load-metrics header")
	value = "TEXT cpu_utilization=0.5"
	sample, err := o.collect(soon(t), epoch)
	wantError(t, err, "")
	wantSample(t, sample, "utilization=0.5 cpu=0.5")
	header, value = orcaBinHeader, binary(t, &orca.OrcaLoadReport{CpuUtilization: 0.25})
	sample, err = o.collect(soon(t), epoch)
	wantError(t, err, "")
	wantSample(t, sample, "utilization=0.25 cpu=0.25")
	value = "!"
	_, err = o.collect(soon(t), epoch)
	wantError(t, err, "endpoint-load-metrics: illegal base64")
}

// serveGRPC starts a gRPC server on an address; empty is a free port.
func serveGRPC(t *testing.T, address string, register func(*grpc.Server)) (string, *grpc.Server) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	register(s)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String(), s
}

func TestORCAOutOfBand(t *testing.T) {
	metrics := grpcorca.NewServerMetricsRecorder()
	metrics.SetCPUUtilization(0.5)
	metrics.SetQPS(40)
	register := func(s *grpc.Server) {
		if err := grpcorca.Register(s, grpcorca.ServiceOptions{ServerMetricsProvider: metrics}); err != nil {
			t.Fatal(err)
		}
	}
	address, server := serveGRPC(t, "", register)
	life, end := context.WithCancel(t.Context())
	defer end()
	o, err := newORCAStream(life, &ORCA{GRPC: address}, time.Second)
	wantError(t, err, "")
	s, err := o.collect(soon(t), time.Now())
	wantError(t, err, "")
	wantSample(t, s, "utilization=0.5 cpu=0.5 rps=40")

	_, err = o.collect(soon(t), time.Now().Add(time.Hour))
	wantError(t, err, "no fresh report")

	// What a server said does not outlive it, and it is asked again when it is back.
	server.Stop()
	await(t, "the stream's end", func() bool {
		_, err := o.collect(brief(t), time.Now())
		return err != nil
	})
	metrics.SetCPUUtilization(0.75)
	serveGRPC(t, address, register)
	await(t, "the new server", func() bool {
		s, err = o.collect(brief(t), time.Now())
		return err == nil
	})
	wantSample(t, s, "utilization=0.75 cpu=0.75 rps=40")
}

func TestORCAOutOfBandUnimplemented(t *testing.T) {
	address, _ := serveGRPC(t, "", func(*grpc.Server) {})
	o, err := newORCAStream(t.Context(), &ORCA{GRPC: address}, time.Second)
	wantError(t, err, "")
	_, err = o.collect(soon(t), time.Now())
	wantError(t, err, "Unimplemented")
}

// streamOf answers with one report and stays open.
type streamOf struct {
	orcaservice.UnimplementedOpenRcaServiceServer
	report *orca.OrcaLoadReport
}

func (s streamOf) StreamCoreMetrics(_ *orcaservice.OrcaLoadReportRequest, stream orcaservice.OpenRcaService_StreamCoreMetricsServer) error {
	if err := stream.Send(s.report); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// A number that makes no sense does not end the stream, nor cost the others.
func TestORCAOutOfBandKeepsTheRest(t *testing.T) {
	address, _ := serveGRPC(t, "", func(s *grpc.Server) {
		orcaservice.RegisterOpenRcaServiceServer(s, streamOf{report: &orca.OrcaLoadReport{CpuUtilization: math.NaN(), RpsFractional: 7}})
	})
	o, err := newORCAStream(t.Context(), &ORCA{GRPC: address}, time.Second)
	wantError(t, err, "")
	s, err := o.collect(soon(t), time.Now())
	wantError(t, err, "")
	wantSample(t, s, "rps=7 (cpu: cpu_utilization is NaN, expected a number from 0) (utilization: it is that of the CPU)")
}
