package store

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store/storetest"
)

var histories = flag.Int("histories", 10_000, "histories of reservations to make up")

// makeDue is the passing of time, as far as grants can tell: it sets when they end, or when they are forgotten; of some,
// or of all.
var makeDue = redis.NewScript(`
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local ids = {unpack(ARGV, 2)}
if #ids == 0 then ids = redis.call('HKEYS', KEYS[1]) end
for _, id in ipairs(ids) do
  local g = cjson.decode(redis.call('HGET', KEYS[1], id))
  if g.state == 'requested' or g.state == 'granted' or g.state == 'granted_lower' then
    g['end'] = at
    redis.call('HSET', KEYS[1], id, cjson.encode(g))
  end
  redis.call('ZADD', KEYS[2], at, id)
end
return #ids > 0 and redis.call('HMGET', KEYS[1], unpack(ids)) or {}`)

// page is what the database holds of a grant, as far as the books go.
type page struct {
	raw     string
	Client  string    `json:"client"`
	Server  string    `json:"server"`
	Level   string    `json:"level"`
	Unit    int64     `json:"unit"`
	State   qos.State `json:"state"`
	Version uint64    `json:"version"`
}

// history makes up what clients, replicas, brokers and operators do, each step being one call of a script. Whoever crashes
// forgets what it has read: a broker's copy of a grant may be as old as can be, and calls come twice, or late.
type history struct {
	c       *Client
	service string
	keys    []string
	rand    *rand.Rand
	pages   map[string]page
	copies  []qos.Grant // what brokers have read
	last    []any       // the last call, which may come again
	trace   [][]any
	wide    int            // whether there are two servers
	counts  map[string]int // of what the script said
}

// The levels of the histories, and what their grants may hold of a server together.
var crashOffers = []qos.Offer{
	{Level: "gold", Unit: 300_000, Share: 600_000, NeedsServer: true, Duration: 100},
	{Level: "silver", Unit: 250_000, NeedsServer: true, Network: true, NeedsNetwork: true, Duration: 100},
	{Level: "bronze", Unit: 200_000, Share: 400_000, Network: true, Duration: 100},
	{Level: "iron", Unit: 450_000, Network: true, NeedsServer: true, Duration: 100},
	{Level: "tin", Network: true, NeedsNetwork: true, Duration: 100},
}

func shareOf(level string) int64 {
	for _, o := range crashOffers {
		if o.Level == level && o.Share > 0 {
			return o.Share
		}
	}
	return qos.Million
}

func (h *history) any(n int) int { return h.rand.Intn(n) }

func (h *history) offer() qos.Offer { return crashOffers[h.any(len(crashOffers))] }

// id returns a grant that is there, or one that is not.
func (h *history) id() string {
	ids := append(slices.Sorted(maps.Keys(h.pages)), "00000000000000000000000000000001")
	return ids[h.any(len(ids))]
}

// live returns a grant that is live, if there is one.
func (h *history) live() string {
	var ids []string
	for id, p := range h.pages {
		if p.State.Live() {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return h.id()
	}
	slices.Sort(ids)
	return ids[h.any(len(ids))]
}

// step does something.
func (h *history) step(ctx context.Context) error {
	switch n := h.any(16); n {
	case 0, 1, 2, 3, 4, 5:
		return h.ask(ctx)
	case 6, 7, 8, 9, 10:
		if n > 8 || len(h.copies) == 0 { // a broker reads a grant
			if err := h.read(h.live()); err != nil {
				return err
			}
		}
		return h.answer(ctx)
	case 11: // a call comes again: its answer was lost, or somebody who hung goes on
		if h.last == nil {
			return nil
		}
		return h.call(ctx, h.last...)
	case 12:
		return h.call(ctx, "end", h.id(), "revoked")
	case 13:
		return h.call(ctx, "end", h.client().String(), "released")
	case 14: // it is over, about to be, or late enough to be renewed
		return h.pass(ctx, int64(h.any(3)-1)*20_000, h.live(), h.id())
	}
	return h.call(ctx, "sweep")
}

func (h *history) client() qos.ClientID { return qos.Client("id", fmt.Sprint(h.any(6))) }

func (h *history) read(id string) error {
	if h.pages[id].raw == "" {
		return nil
	}
	rec, err := decodeGrant(h.service, id, h.pages[id].raw)
	if err == nil {
		h.copies = append(h.copies, rec.Grant)
	}
	return err
}

func (h *history) ask(ctx context.Context) error {
	r := Request{Grant: qos.Grant{
		Service: h.service, Client: h.client(), Server: fmt.Sprint("s", h.any(1+h.wide)), Offer: h.offer(),
	}}
	r.Asked = r.Level
	for range h.any(3) {
		r.Lower = append(r.Lower, h.offer())
	}
	seen := []string{anyGrant, "", h.id()}[h.any(3)]
	h.rand.Read(r.ID[:])
	args, err := r.args(seen)
	if err != nil {
		return err
	}
	return h.call(ctx, args...)
}

// answer has a broker answer what it has read, or forget it.
func (h *history) answer(ctx context.Context) error {
	if len(h.copies) == 0 {
		return nil // nothing is there to be read
	}
	i := len(h.copies) - 1 - h.any(min(len(h.copies), 3))
	g := h.copies[i]
	if h.any(3) == 0 {
		h.copies = append(h.copies[:i], h.copies[i+1:]...)
	}
	g.State = []qos.State{qos.Granted, qos.Granted, qos.Requested, qos.Refused, qos.Ended, qos.GrantedLower}[h.any(6)]
	switch h.any(4) {
	case 0:
		if len(g.Lower) > 0 {
			g.Offer = g.Lower[h.any(len(g.Lower))]
		}
	case 1:
		g.Network = false
	}
	if h.any(3) == 0 {
		g.End += int64(h.any(100_000) - 50_000)
	}
	data, err := json.Marshal(&g)
	if err != nil {
		return err
	}
	return h.call(ctx, "answer", string(data))
}

// pass has time pass for some grants, until there are so many ms left.
func (h *history) pass(ctx context.Context, ms int64, ids ...string) error {
	args := []any{ms}
	for _, id := range ids {
		if h.pages[id].raw != "" {
			args = append(args, id)
		}
	}
	if len(args) == 1 {
		return nil
	}
	h.trace = append(h.trace, append([]any{"pass"}, args...))
	texts, err := makeDue.Run(ctx, h.c.db, []string{h.keys[6], h.keys[9]}, args...).StringSlice()
	for i, text := range texts {
		id := args[i+1].(string)
		p := h.pages[id]
		p.raw = text
		h.pages[id] = p
	}
	return err
}

// call runs the script, and looks at the books.
func (h *history) call(ctx context.Context, args ...any) error {
	h.last = args
	h.trace = append(h.trace, args)
	pipe := h.c.db.Pipeline()
	ran := scriptGrant.EvalSha(ctx, pipe, h.keys, append([]any{h.service}, args...)...)
	grants, used := pipe.HGetAll(ctx, h.keys[6]), pipe.HGetAll(ctx, h.keys[7])
	byClient, due := pipe.HGetAll(ctx, h.keys[8]), pipe.ZRange(ctx, h.keys[9], 0, -1)
	if _, err := pipe.Exec(ctx); err != nil && !strings.Contains(err.Error(), "FARM ") {
		return err
	}
	got, err := replyOf(ran)
	if err != nil && !IsInvalid(err) {
		return err
	}
	h.counts[args[0].(string)+" "+got.status]++
	return h.audit(grants.Val(), used.Val(), byClient.Val(), due.Val())
}

// audit compares what is reserved with what the grants hold, and every grant with what it was.
func (h *history) audit(grants, used, byClient map[string]string, due []string) error {
	want, holders := make(map[string]int64), make(map[string]string)
	pages := make(map[string]page, len(grants))
	for id, raw := range grants {
		p, err := h.page(id, raw)
		if err != nil {
			return err
		}
		if pages[id] = p; !p.State.Live() {
			continue
		}
		if p.Unit > 0 {
			want[p.Server] += p.Unit
			want[p.Server+"/"+p.Level] += p.Unit
		}
		if p.State == qos.Requested {
			want["/open"]++
		}
		if holders[p.Client] != "" {
			return fmt.Errorf("client %s has two live grants", p.Client)
		}
		holders[p.Client] = id
	}
	h.pages = pages
	for field, n := range want {
		if used[field] != fmt.Sprint(n) {
			return fmt.Errorf("%s: %s are taken, the grants hold %d", field, used[field], n)
		}
		if _, level, ok := strings.Cut(field, "/"); n > qos.Million || ok && n > shareOf(level) {
			return fmt.Errorf("%s: %d are given", field, n)
		}
	}
	if len(used) != len(want) || len(byClient) != len(holders) || len(due) != len(grants) {
		return fmt.Errorf("used %v, want %v; by client %v, want %v; due %v of %d", used, want, byClient, holders, due, len(grants))
	}
	for client, id := range holders {
		if byClient[client] != id {
			return fmt.Errorf("client %s has %s, the index says %s", client, id, byClient[client])
		}
	}
	return nil
}

// page reads a record if it has changed, and says whether it may have.
func (h *history) page(id, raw string) (page, error) {
	was, ok := h.pages[id]
	if ok && was.raw == raw {
		return was, nil
	}
	p := page{raw: raw}
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return p, err
	}
	if ok && (!was.State.Live() || p.Version <= was.Version || p.Client != was.Client || p.Server != was.Server) {
		return p, fmt.Errorf("grant %s became %s from %s", id, raw, was.raw)
	}
	if ok && p.Version == was.Version+1 && !was.State.May(p.State) {
		return p, fmt.Errorf("grant %s became %s from %s", id, p.State, was.State)
	}
	return p, nil
}

// settle has all time pass: what is there ends, and is forgotten. Nothing may be left.
func (h *history) settle(ctx context.Context) error {
	pipe := h.c.db.Pipeline()
	for range 3 { // a request may become a grant, which ends, and is forgotten
		makeDue.EvalSha(ctx, pipe, []string{h.keys[6], h.keys[9]}, -1)
		scriptGrant.EvalSha(ctx, pipe, h.keys, h.service, "sweep")
	}
	left, due := pipe.Exists(ctx, h.keys[6:10]...), pipe.ZScore(ctx, h.keys[11], h.service)
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		return err
	}
	h.pages, h.copies, h.last = nil, nil, nil
	if left.Val() > 0 || due.Err() != redis.Nil {
		return fmt.Errorf("%d keys are left, and the service is due at %v", left.Val(), due.Val())
	}
	return nil
}

// Whatever crashes when, nothing is ever given twice, and nothing is lost: every live grant holds what the books say, and
// when all is over nothing is held.
func TestReservationsOutliveCrashes(t *testing.T) {
	t.Parallel()
	r := storetest.Start(t)
	target, err := ParseURLs([]string{r.URL})
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(target, DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	if err := errors.Join(scriptGrant.Load(ctx, c.db).Err(), makeDue.Load(ctx, c.db).Err()); err != nil {
		t.Fatal(err)
	}
	n := *histories
	if testing.Short() {
		n /= 20
	}
	const workers = 4
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			service := fmt.Sprintf("w%d.example.org.", w)
			h := &history{c: c, service: service, keys: GrantKeys(DefaultPrefix, service), counts: make(map[string]int)}
			for seed := w; seed < n && !t.Failed(); seed += workers {
				h.rand, h.trace, h.wide = rand.New(rand.NewSource(int64(seed))), nil, seed/workers%2
				if err := h.run(ctx); err != nil {
					t.Errorf("seed %d: %s\n%v", seed, err, h.trace)
				}
			}
			t.Log(h.counts)
		})
	}
	running.Wait()
}

// run makes up a history: most are short, some long enough for servers to fill up.
func (h *history) run(ctx context.Context) error {
	steps := 4 + h.any(5)
	if h.any(5) == 0 {
		steps = 15 + h.any(15)
	}
	for range steps {
		if err := h.step(ctx); err != nil {
			return err
		}
	}
	return h.settle(ctx)
}
