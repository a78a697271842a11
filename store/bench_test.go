package store

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// The farm of the budgets: 100,000 servers in 1,000 services.
const (
	benchServices = 1000
	benchServers  = 100
)

func benchName(i int) string { return fmt.Sprintf("service-%d.example.org.", i) }

func benchReport(service, server int, seq int64) record {
	return record{kindReport, benchName(service), fmt.Sprint("server-", server), fmt.Sprintf(
		`{"utilization":0.%02d,"cpu":0.31,"mem":0.22,"rps":%d.5,"eps":0.1,"in_flight":12,"latency":0.0123,"health":"up","lease":15,"agent":"0123456789abcdef","seq":%d,"at":%d}`,
		(server+int(seq))%90+10, 100+server, seq+1, 1795363200000+seq)}
}

func benchDumps() []*dump {
	dumps := make([]*dump, Shards)
	for i := range dumps {
		dumps[i] = &dump{epoch: 1, now: 1795363200000}
	}
	for i := range benchServices {
		d := dumps[Shard(benchName(i))]
		d.records = append(d.records, record{kindService, benchName(i), "", `{"policy":"headroom","ttl":20}`})
		for j := range benchServers {
			d.records = append(d.records, record{kindServer, benchName(i), fmt.Sprint("server-", j), fmt.Sprintf(
				`{"addresses":["192.0.%d.%d","2001:db8::%x:%x"],"port":443,"capacity":1000,"region":"eu-west","by":"agent"}`,
				i%256, j, i, j)}, benchReport(i, j, 0))
		}
	}
	return dumps
}

// cpu reports the processor time of an operation too: unlike time, it is the same on a busy machine.
func cpu(b *testing.B) (stop func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

func benchReplica() *replica {
	r := newReplica()
	for i, d := range benchDumps() {
		r.load(i, d, 1000)
	}
	return r
}

// BenchmarkApplyReport is one report applied, with its share of building and publishing: as many reports come between
// two publications as come in 100 ms when every server reports each five seconds.
func BenchmarkApplyReport(b *testing.B) {
	r := benchReplica()
	s := &Store{replica: r, views: make(map[*View]struct{})}
	v := newView(s, Base{})
	s.views[v] = struct{}{}
	s.publish(always)
	const burst = benchServices * benchServers / 5 / 10
	reports := make([]entry, b.N)
	for i := range reports {
		k := i * 7919 % (benchServices * benchServers)
		reports[i] = entry{epoch: 1, record: benchReport(k/benchServers, k%benchServers, int64(i+1))}
	}
	b.ReportAllocs()
	b.ResetTimer()
	stop := cpu(b)
	for i := range reports {
		shard := Shard(reports[i].svc)
		reports[i].rev = r.shards[shard].rev + 1
		if err := r.follow(shard, reports[i:i+1], 2000); err != nil {
			b.Fatal(err)
		}
		if i%burst == burst-1 {
			s.publish(always)
		}
	}
	stop()
	if len(v.Load().Farms()) != benchServices || len(r.counts.recent) > 0 {
		b.Fatal(len(v.Load().Farms()), r.counts.recent)
	}
}

// BenchmarkLoad is a complete read of 100,000 servers with their reports, from records to a published snapshot.
func BenchmarkLoad(b *testing.B) {
	dumps := benchDumps()
	b.ReportAllocs()
	stop := cpu(b)
	defer func() { stop() }()
	for b.Loop() {
		r := newReplica()
		for i, d := range dumps {
			r.load(i, d, 1000)
		}
		v := newView(nil, Base{})
		v.addAll(r)
		v.publish(new(sync.Mutex), r, generation{now: 1000}, always)
		if len(v.Load().Farms()) != benchServices {
			b.Fatal(len(v.Load().Farms()))
		}
	}
}

// BenchmarkResync is the same from a real Redis.
func BenchmarkResync(b *testing.B) {
	redis := storetest.Start(b)
	target, err := ParseURLs([]string{redis.URL})
	if err != nil {
		b.Fatal(err)
	}
	c, err := dial(target, DefaultPrefix)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ctx := b.Context()
	for _, d := range benchDumps() {
		pipe := c.db.Pipeline()
		for _, rec := range d.records {
			keys := Keys(DefaultPrefix, rec.svc)
			key := map[string]string{kindService: keys[2], kindServer: keys[3], kindReport: keys[5]}[rec.kind]
			field := rec.id
			if rec.kind == kindService {
				field = rec.svc
			}
			pipe.HSet(ctx, key, field, rec.data)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	stop := cpu(b)
	defer func() { stop() }()
	for b.Loop() {
		r := newReplica()
		for i := range Shards {
			d, err := fetchShard(ctx, c.db, DefaultPrefix, i, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.load(i, d, 1000)
		}
		v := newView(nil, Base{})
		v.addAll(r)
		v.publish(new(sync.Mutex), r, generation{now: 1000}, always)
		if len(v.Load().Farms()) != benchServices {
			b.Fatal(len(v.Load().Farms()))
		}
	}
}

// BenchmarkExchangeAnswers is what a replica spends on one exchange of answers, with one other replica, by a real Redis: each
// has given two answers of each of 10,000 services, which nearly fills its values.
func BenchmarkExchangeAnswers(b *testing.B) {
	const services = 10_000
	redis := storetest.Start(b)
	target, err := ParseURLs([]string{redis.URL})
	if err != nil {
		b.Fatal(err)
	}
	c, err := dial(target, DefaultPrefix)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := newReplica()
	dumps := make([]*dump, Shards)
	for i := range dumps {
		dumps[i] = &dump{epoch: 1, now: 1000}
	}
	var out []Shared
	for i := range services {
		name := benchName(i)
		d := dumps[Shard(name)]
		d.records = append(d.records, record{kindService, name, "", `{"policy":"predict"}`})
		out = append(out, Shared{Service: name, Answers: make([]byte, 1+2*(13+4*4))})
	}
	for i, d := range dumps {
		r.load(i, d, 1000)
	}
	s := &Store{cfg: Config{Prefix: DefaultPrefix}, start: time.Now(), client: c, replica: r, views: make(map[*View]struct{})}
	v := newView(s, Base{})
	s.views[v] = struct{}{}
	v.addAll(r)
	v.publish(new(sync.Mutex), r, generation{now: 1000}, always)
	own, other := newAnswerExchange(s), newAnswerExchange(s)
	other.name += "-other"
	views := s.openViews()
	write := func(x *answerExchange) []*answersShard {
		for i := range x.shards {
			x.shards[i].expire(s.now() + answersTold + 1)
		}
		for i := range out {
			out[i].At = s.now()
		}
		v.mail.swap(out)
		due := x.collect(views)
		x.write(b.Context(), due)
		return due
	}
	heard := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		write(other)
		b.StartTimer()
		own.read(b.Context(), write(own), views)
		in, _ := v.mail.swap(nil)
		heard += len(in)
	}
	b.ReportMetric(float64(heard)/float64(b.N), "heard/op")
	b.ReportMetric(float64(len(encodeAnswers(1, own.shards[0].out))), "B/value")
}

// BenchmarkMemory prints what a server takes in the replica, its share of the snapshot included.
func BenchmarkMemory(b *testing.B) {
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := benchReplica()
		v := newView(nil, Base{})
		v.addAll(r)
		v.publish(new(sync.Mutex), r, generation{now: 1000}, always)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(r)
		runtime.KeepAlive(v)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(benchServices*benchServers), "B/server")
}
