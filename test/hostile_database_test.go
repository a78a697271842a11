package test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// What somebody who may write anything puts into the database: records by the hundred, as long as they may be and
// longer, under names that are none; reports of servers that there are not; and then changes without end. KEYS are the
// service's, ARGV its name.
const (
	hostileRecords = `
for i = 1, 500 do
	redis.call('HSET', KEYS[4], 'bad' .. i, '{"addresses":["203.0.113.1"],"weight":-1,"x":"' .. string.rep('x', 8000) .. '"}')
	redis.call('HSET', KEYS[4], string.rep('\255', 60) .. i, '{}')
	redis.call('HSET', KEYS[5], 'bad' .. i, string.rep('[', 8000))
	redis.call('HSET', KEYS[6], 'web1@' .. string.rep('p', 60) .. i, '{"lease":-1}')
	redis.call('HSET', KEYS[3], 'x' .. i .. '.other.example.', '{"policy":"' .. string.rep('x', 4000) .. '"}')
end
for i = 1, 5 do redis.call('HSET', KEYS[6], 'huge' .. i, string.rep('x', 1000000)) end
redis.call('HINCRBY', KEYS[1], 'rev', 1000) -- readers see that they missed something, and read everything anew
return redis.status_reply('OK')`
	hostileChanges = `
local epoch = redis.call('HGET', KEYS[1], 'epoch')
for i = 1, 2000 do
	local rev = redis.call('HINCRBY', KEYS[1], 'rev', 1)
	redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'e', epoch, 'r', rev, 'op', 'set', 'kind', 'report', 'svc', ARGV[1],
		'id', 'ghost' .. i, 'data', '{"lease":' .. i .. '}' .. string.rep('x', 1000))
end
return redis.status_reply('OK')`
)

// TestHostileDatabase fills the database with what does not belong there. Lookups do not notice, reports still change
// answers, and the server keeps next to nothing of it.
func TestHostileDatabase(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	a := startAgents(t, db, service, threeServers)
	pprof, metrics := strconv.Itoa(freePort(t)), strconv.Itoa(freePort(t))
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis.URL, "PPROF", pprof, "METRICS", metrics).Replace(hostileCorefile))
	follows(t, c, db, a)
	asked := startSteady(t, of(c.addr), service)
	asked.more(sample)
	before := look(t, c, pprof)

	keys := store.Keys(store.DefaultPrefix, service)
	for _, script := range []string{hostileRecords, hostileChanges} {
		until := rejected(t, metrics) + 2000
		eval := append([]string{"EVAL", script, strconv.Itoa(len(keys))}, keys...)
		if out := redis.Do(append(eval, service)...); out != "OK" {
			t.Fatalf("EVAL: %s", out)
		}
		await(t, "the records to be rejected", func() bool { return rejected(t, metrics) >= until })
		a.awaitHeard(t)
		follows(t, c, db, a)
	}
	now := look(t, c, pprof)
	t.Logf("before: %v; after: %v; rejected: %d records", before, now, rejected(t, metrics))
	if now.heap > before.heap+attackHeap || now.goroutines > before.goroutines+20 || now.files > before.files+20 {
		t.Errorf("Expected the server to hold little more than %v, got %v", before, now)
	}
	asked.noneFailed()
}

// rejected returns how many records a server has refused so far.
func rejected(t *testing.T, metrics string) (sum int) {
	t.Helper()
	for line := range strings.Lines(string(fetch(t, "http://127.0.0.1:"+metrics+"/metrics"))) {
		if strings.HasPrefix(line, "coredns_farm_records_rejected_total") {
			n, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += int(n)
		}
	}
	return sum
}
