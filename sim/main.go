package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/coredns-farm/farm/sim/world"
)

func main() {
	sc := flag.String("scenario", "S1", "")
	po := flag.String("policy", "uniform", "")
	seeds := flag.Int("seeds", 1, "")
	file := flag.String("file", "", "")
	flag.Parse()
	all, err := world.BuiltIn()
	if err != nil {
		panic(err)
	}
	if *file != "" {
		all = nil
		for _, f := range strings.Split(*file, ",") {
			b, _ := os.ReadFile(f)
			s, err := world.Parse(f, b)
			if err != nil {
				panic(err)
			}
			all = append(all, s)
		}
		*sc = "all"
	}
	for _, s := range all {
		if *sc != "all" && !strings.Contains(","+*sc+",", ","+s.Name+",") {
			continue
		}
		for _, p := range strings.Split(*po, ",") {
			var p99 []float64
			var mean, o90, o100, rp, ref, fail, qps float64
			t0 := time.Now()
			for i := 1; i <= *seeds; i++ {
				r, err := world.Run(&s, p, uint64(i), nil)
				if err != nil {
					panic(err)
				}
				n := float64(*seeds)
				p99 = append(p99, r.P99Ratio)
				mean += r.MeanRatio / n
				o90 += r.Over90 / n
				o100 += r.Over100 / n
				rp += r.RequestP99 / n
				ref += r.Refused / n
				fail += r.Failed / n
				qps += r.DNSQPS / n
			}
			sort.Float64s(p99)
			fmt.Printf("%-4s %-16s p99 %.2f mean %.3f >90 %.3f >100 %.3f reqp99 %.0f refused %.4f failed %.5f qps %.1f  %v %.2v\n", s.Name, p, p99[len(p99)/2], mean, o90, o100, rp, ref, fail, qps, time.Since(t0).Round(time.Millisecond*10), p99)
		}
	}
}
