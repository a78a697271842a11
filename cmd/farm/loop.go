package main

import (
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// refuseLoop returns an error if a service or a server, as it is to be written, makes aliases go round. One of them is nil.
func (w *world) refuseLoop(service string, spec *steer.Service, server *steer.Server) error {
	in := steer.Input{Service: steer.Service{Name: service}}
	farms := slices.Clone(w.snap.Farms())
	at := slices.IndexFunc(farms, func(f *steer.Farm) bool { return f.Service.Name == service })
	if at >= 0 {
		in.Service = farms[at].Service
		for _, s := range farms[at].Servers {
			if server == nil || s.ID != server.ID {
				in.Members = append(in.Members, steer.Member{Server: s, Report: steer.NoReport})
			}
		}
		farms = slices.Delete(farms, at, at+1)
	}
	if spec != nil {
		in.Service.Fallback = spec.Fallback
	}
	if server != nil {
		in.Members = append(in.Members, steer.Member{Server: server, Report: steer.NoReport})
	}
	snap := steer.NewSnapshot(append(farms, steer.Build(in)), nil)
	if loop := snap.AliasLoop(service); loop != nil {
		return refusedf("the aliases of %s would go round: %s", service, strings.Join(loop, " -> "))
	}
	return nil
}
