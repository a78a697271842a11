package world

import (
	"fmt"
	"math"
	"os"
	"testing"
)

func TestDbg(t *testing.T) {
	name := os.Getenv("SC")
	if name == "" {
		t.Skip()
	}
	all, _ := BuiltIn()
	for _, s := range all {
		if s.Name != name {
			continue
		}
		w, _ := newWorld(&s, "predict", 1)
		next := 30.0
		for w.events[0].at <= s.Duration {
			e := w.events.pop()
			w.handle(e)
			if e.kind == onTick && e.at >= next {
				next += 60
				p := w.policy.(*predicted)
				f := p.generations[0].farm
				load, others, sig, pl, said, fore, pend := p.learned[0].DebugWork(f)
				fmt.Printf("t=%.0f load %.0f others %.0f (%.2f) perLookup %.1f\n", e.at, load, others, sig, pl)
				for i := range said {
					if i < 12 {
						fmt.Printf("  %d cap %.0f C %.0f util %.2f said %.0f fore %.0f pend %.2f gate %v ramp %.2f\n", i, w.machines[i].capacity, f.State[i].Capacity, f.State[i].Util, said[i], fore[i], pend[i]/f.State[i].Capacity, f.State[i].Gate, f.State[i].Ramp)
					}
				}
				var bias, sq, wsum, sum float64
				for i := range w.resolvers {
					r := &w.resolvers[i]
					m, sg, ok := p.learned[0].DebugBelief(f, r.prefix)
					if i < 12 || i == 100 || i == 400 {
						fmt.Printf("  r%d home %d true %.1f est %.1f sigma %.2f whole %v obeys %v\n", i, r.home, r.load, m, sg, r.whole, r.obeys)
					}
					if ok && r.home == 0 {
						d := math.Log(m / r.load)
						bias += r.load * d
						sq += r.load * d * d
						wsum += r.load
						sum += m
					}
				}
				fmt.Printf("  weighted ln error bias %.2f rms %.2f sum est %.0f of true %.0f\n", bias/wsum, math.Sqrt(sq/wsum), sum, wsum)
			}
		}
	}
}
