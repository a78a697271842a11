package agent

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// serverRecord makes the record under which the server is registered for a service.
func serverRecord(c *Config, s Service) (steer.Server, error) {
	rec := steer.Server{
		ID:       c.Server,
		Port:     uint16(cmp.Or(s.Port, c.Port)),
		Weight:   cmp.Or(s.Weight, c.Weight),
		Capacity: c.Capacity,
		Region:   c.Region,
		Priority: uint16(c.Priority),
		Soft:     c.Soft,
		Hard:     c.Hard,
		Classes:  c.Classes,
	}
	if c.Target != "" {
		rec.Target = fqdn(c.Target)
	}
	for i, text := range c.Addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return rec, fmt.Errorf("addresses[%d]: %w", i, err)
		}
		rec.Addresses = append(rec.Addresses, a.Unmap())
	}
	return rec, store.CheckServer(&rec)
}

// reportRecord makes the report of a sample. Service, ID, Reporter, Agent and Seq are the caller's to fill in.
func reportRecord(s *Sample) store.Report {
	return store.Report{
		Utilization: s.Utilization,
		CPU:         s.CPU,
		Mem:         s.Mem,
		RPS:         s.RPS,
		EPS:         s.EPS,
		InFlight:    s.InFlight,
		Latency:     s.Latency,
		Health:      steer.Health(s.Health),
		Reason:      s.Reason,
	}
}
