package agent

import (
	"context"
	"fmt"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// GRPCProbe passes when the gRPC health service says SERVING.
type GRPCProbe struct {
	Address string `yaml:"address"` // host:port
	Service string `yaml:"service"` // the service asked about; default the server as a whole
	TLS     *TLS   `yaml:"tls"`     // whether there is TLS at all, and how it is verified
}

func (g *GRPCProbe) validate() error { return firstError(checkAddress(g.Address), g.TLS.validate()) }

type grpcProbe struct{ cfg *GRPCProbe }

// probe connects anew each time: whether the server still accepts connections is half of the question.
func (g *grpcProbe) probe(ctx context.Context) error {
	conn, err := dialGRPC(g.cfg.Address, g.cfg.TLS)
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: g.cfg.Service})
	if err != nil {
		return err
	}
	if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("status %s", resp.GetStatus())
	}
	return nil
}
