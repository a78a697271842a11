package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	orca "github.com/cncf/xds/go/xds/data/orca/v3"
	orcaservice "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
)

// maxMessage bounds one gRPC message, in octets.
const maxMessage = 64 << 10

// orcaStale is for how many report intervals an out-of-band report stands. Servers may report less often than they are
// asked to: gRPC's own do so every 30 s at most, unless told otherwise.
const (
	orcaStale    = 3
	orcaMinStale = 90 * time.Second
)

// orcaStream is the collector of the out-of-band service. A goroutine follows the stream; collect takes its last word.
type orcaStream struct {
	conn     *grpc.ClientConn
	interval time.Duration
	heard    heard // of the collecting goroutine

	mu     sync.Mutex
	open   bool
	report *orca.OrcaLoadReport
	at     time.Time
	err    error         // why the last stream ended
	news   chan struct{} // closed at the first report or end of the stream that is open
}

// newORCAStream makes the collector. Streams live no longer than ctx, which also closes the connection.
func newORCAStream(ctx context.Context, cfg *ORCA, interval time.Duration) (*orcaStream, error) {
	conn, err := dialGRPC(cfg.GRPC, cfg.TLS)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return &orcaStream{conn: conn, interval: interval, heard: heard{}}, nil
}

// reconnect is quicker than gRPC's own habit of waiting up to two minutes: the server is next door, and there is one.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
	MinConnectTimeout: time.Second,
}

// dialGRPC prepares a connection. It does not wait for the other side.
func dialGRPC(address string, t *TLS) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if t != nil {
		cfg, err := t.config()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(cfg)
	}
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithUserAgent(userAgent), grpc.WithDisableServiceConfig(), grpc.WithConnectParams(reconnect),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
}

// collect returns the last report, and waits for it if the stream has just been opened.
func (o *orcaStream) collect(ctx context.Context, now time.Time) (Sample, error) {
	select {
	case <-o.ensure():
	case <-ctx.Done():
		return Sample{}, ctx.Err()
	}
	o.mu.Lock()
	report, at, err := o.report, o.at, o.err
	o.mu.Unlock()
	if report == nil || now.Sub(at) > max(orcaStale*o.interval, orcaMinStale) {
		return Sample{}, errors.Join(errors.New("no fresh report"), err)
	}
	return o.heard.sample(&loadReport{OrcaLoadReport: report}), nil
}

// ensure opens the stream unless it is open, and returns what closes at its first news.
func (o *orcaStream) ensure() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		o.open = true
		news := make(chan struct{})
		o.news = news
		go o.follow(sync.OnceFunc(func() { close(news) }))
	}
	return o.news
}

// follow reads one stream to its end. The connection's end, which is the agent's, ends it too. What was reported on a
// stream does not outlive it.
func (o *orcaStream) follow(news func()) {
	defer news()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := orcaservice.NewOpenRcaServiceClient(o.conn)
	stream, err := client.StreamCoreMetrics(ctx,
		&orcaservice.OrcaLoadReportRequest{ReportInterval: durationpb.New(o.interval)})
	for err == nil {
		var report *orca.OrcaLoadReport
		if report, err = stream.Recv(); err == nil {
			o.keep(report)
			news()
		}
	}
	o.mu.Lock()
	o.open, o.report, o.err = false, nil, err
	o.mu.Unlock()
}

func (o *orcaStream) keep(report *orca.OrcaLoadReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.report, o.at = report, time.Now()
}
