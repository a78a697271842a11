package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/steer"
)

// Times of exchanging answers, in ms unless they are durations.
const (
	answersTime = time.Second            // for writing, and for reading
	readAfter   = 700 * time.Millisecond // what was read is merged in the next second: so late that it is fresh then

	aloneAfter  = 30_000 // without another replica, this one looks for others less often ...
	aloneEvery  = 5000   // ... less up to a fifth
	presentEach = 10_000 // a replica that has nothing to tell shows that it listens
	offsetFresh = 10_000 // then Redis's clock is read again
)

// answerExchange tells other replicas the answers that this one gave, and hears theirs. It belongs to one goroutine,
// which nobody waits for.
type answerExchange struct {
	peers
	shards [Shards]answersShard
}

func newAnswerExchange(s *Store) *answerExchange {
	x := &answerExchange{peers: newPeers(s)}
	for i := range x.shards {
		x.shards[i].number, x.shards[i].peerAt = i, s.now()
	}
	return x
}

// answerLoop exchanges answers whenever a view does, which is every second.
func (s *Store) answerLoop(ctx context.Context) {
	x := newAnswerExchange(s)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.exchanged:
			x.round(ctx)
		}
	}
}

// round writes and reads once. What fails is not repeated: in a second there are newer answers.
func (x *answerExchange) round(ctx context.Context) {
	views := x.store.openViews()
	due := x.collect(views)
	if len(due) == 0 {
		return
	}
	x.write(ctx, due)
	if pause(ctx, readAfter) {
		x.read(ctx, due, views)
	}
}

// collect takes what views have exported, and returns the shards whose turn it is. Shards without a service under predict
// have none.
func (x *answerExchange) collect(views []*View) (due []*answersShard) {
	var predicts [Shards]bool
	for _, v := range views {
		answers, open := v.mail.takeAnswers()
		if !open {
			continue
		}
		// Where not all fits into a value, it is not always the same services that are left out.
		rand.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
		for _, a := range answers {
			x.shards[Shard(a.Service)].add(a)
		}
		for _, f := range v.Load().Farms() {
			if f.Service.Policy == steer.Predict {
				predicts[Shard(f.Service.Name)] = true
			}
		}
	}
	now := x.store.now()
	for i := range x.shards {
		sh := &x.shards[i]
		sh.expire(now)
		if !predicts[i] || now < sh.nextAt {
			continue
		}
		if now-sh.peerAt > aloneAfter {
			sh.nextAt = now + aloneEvery - rand.Int64N(aloneEvery/5)
		}
		due = append(due, sh)
	}
	return due
}

// apart calls do with the shards that go in one pipeline, at once for those of a Cluster: there one node may hang.
func (x *answerExchange) apart(ctx context.Context, shards []*answersShard, do func(ctx context.Context, shards []*answersShard)) {
	timed, cancel := context.WithTimeout(ctx, answersTime)
	defer cancel()
	if _, ok := x.store.client.db.(*redis.ClusterClient); !ok {
		do(timed, shards)
		return
	}
	var running sync.WaitGroup
	for i := range shards {
		running.Go(func() { do(timed, shards[i:i+1]) })
	}
	running.Wait()
}

// write writes what there is to tell, and shows other replicas that this one is there.
func (x *answerExchange) write(ctx context.Context, shards []*answersShard) {
	now := x.store.now()
	var telling []*answersShard
	for _, sh := range shards {
		if sh.unwritten && len(sh.out) > 0 || now-sh.peerAt <= aloneAfter && now-sh.wroteAt >= presentEach {
			telling = append(telling, sh)
		}
	}
	if len(telling) == 0 {
		return
	}
	x.apart(ctx, telling, x.writeShards)
	for _, sh := range telling {
		if sh.err != nil && !isRefused(sh.err) { // whoever shares loads says that writing is refused
			sh.offsetAt = 0 // it may be another Redis next time
			continue
		}
		sh.wroteAt, sh.unwritten, sh.gone = now, false, nil
	}
}

func (x *answerExchange) writeShards(ctx context.Context, shards []*answersShard) {
	s := x.store
	cmds := make([]*redis.IntCmd, len(shards))
	_, _ = s.client.db.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its error
		for i, sh := range shards {
			if sh.err = x.setOffset(ctx, sh); sh.err != nil {
				continue
			}
			key := answersKey(s.cfg.Prefix, sh.number)
			cmds[i] = p.HSet(ctx, key, x.name, sh.value(s.now()))
			if len(sh.gone) > 0 {
				p.HDel(ctx, key, sh.gone...)
			}
			p.PExpire(ctx, key, learnedKept*time.Millisecond)
		}
		return nil
	})
	for i, sh := range shards {
		if sh.err == nil {
			sh.err = cmds[i].Err()
		}
	}
}

// setOffset reads Redis's clock, now and then.
func (x *answerExchange) setOffset(ctx context.Context, sh *answersShard) error {
	s := x.store
	now := s.now()
	if sh.offsetAt != 0 && now-sh.offsetAt < offsetFresh {
		return nil
	}
	at, err := timeOf(ctx, s.client.db, revKey(s.cfg.Prefix, sh.number))
	if err != nil {
		return err
	}
	sh.offset, sh.offsetAt = at-s.now(), now
	return nil
}

// read hears the other replicas.
func (x *answerExchange) read(ctx context.Context, shards []*answersShard, views []*View) {
	x.apart(ctx, shards, x.readShards)
	for _, sh := range shards {
		if sh.said.lost != nil {
			sh.offsetAt = 0
			continue
		}
		x.hear(sh, views)
	}
}

func (x *answerExchange) readShards(ctx context.Context, shards []*answersShard) {
	prefix := x.store.cfg.Prefix
	keys := make([]string, len(shards))
	for i, sh := range shards {
		keys[i] = answersKey(prefix, sh.number)
	}
	for i, said := range fetchSayings(ctx, x.store.client.db, keys) {
		if err := x.setOffset(ctx, shards[i]); said.lost == nil {
			said.lost = err
		}
		shards[i].said = said
	}
}

// hear hands the views what others exported since they were last heard.
func (x *answerExchange) hear(sh *answersShard, views []*View) {
	said := sh.said
	sh.said = saying{}
	if said.err != nil {
		x.reject(answersRecord(sh.number, ""), said.err.Error(), said.err)
		return
	}
	now := x.store.now() + sh.offset
	heard := make(map[string]int64, len(said.values))
	sh.gone = nil
	for name, value := range said.values {
		if name == x.name {
			continue
		}
		at, all, err := decodeAnswers(value, sh.number)
		switch {
		case err != nil:
			x.reject(answersRecord(sh.number, name), value, err)
			sh.gone = append(sh.gone, name)
		case isOutlived(at, now):
			sh.gone = append(sh.gone, name)
		case now-at <= learnedFresh && at-now <= learnedJitter:
			sh.peerAt, sh.nextAt = x.store.now(), 0
			heard[name] = deliver(all, sh.heard[name], now, sh.offset, views)
		}
	}
	sh.heard = heard
}

// deliver puts what one replica exported after a time into the views' mail, and returns the time of the latest.
func deliver(all []exportedAnswers, after, now, offset int64, views []*View) (latest int64) {
	if after > now+learnedJitter {
		after = 0 // Redis's clock was set back
	}
	latest = after
	for _, e := range all {
		if e.at <= after || now-e.at > answersFresh || e.at-now > learnedJitter {
			continue
		}
		latest = max(latest, e.at)
		for _, v := range views {
			if f := v.Load().Farm(e.service); f != nil && f.Service.Policy == steer.Predict {
				v.mail.put(Shared{Service: e.service, Answers: []byte(e.answers), At: e.at - offset})
			}
		}
	}
	return latest
}
