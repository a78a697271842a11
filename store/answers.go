package store

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The answers that replicas give: in a hash a shard, one field a replica, its node name. All numbers of a value are little
// endian:
//
//	0  1  version, 1
//	1  8  at: ms on Redis's clock when the value was written
//
// then for each service, as often as its answers were exported:
//
//	2  how long, in ms, they had been exported then
//	1  length of the service's name
//	n  the name
//	2  length of its answers
//	m  its answers, as steer.Learned.ExportAnswers writes them
const (
	answersVersion = 1
	answersHead    = 9
	maxAnswers     = 64 << 10 // octets of one value

	answersTold  = 3000 // ms for which exported answers are written again, for readers that missed a value
	answersFresh = 5000 // ms; what was exported before is not believed
)

// answersKey cannot be the learned key of a service: the name of a service ends with a dot.
func answersKey(prefix string, shard int) string {
	return tagOf(prefix, shard) + "lrn:answers"
}

// answersRecord names the answers of a replica, for those who look at what was rejected.
func answersRecord(shard int, replica string) record {
	return record{kind: "answers", svc: fmt.Sprintf("%02d", shard), id: replica}
}

// exportedAnswers are answers to the resolvers of one service, from one export.
type exportedAnswers struct {
	service string
	at      int64 // ms on Redis's clock; when they were exported
	answers string
}

func (e *exportedAnswers) size() int { return 2 + 1 + len(e.service) + 2 + len(e.answers) }

// encodeAnswers writes a value at a time of Redis. What comes first in all has precedence where not all fits.
func encodeAnswers(at int64, all []exportedAnswers) string {
	buf := binary.LittleEndian.AppendUint64([]byte{answersVersion}, uint64(at))
	for i := range all {
		e := &all[i]
		if len(buf)+e.size() > maxAnswers {
			continue
		}
		buf = binary.LittleEndian.AppendUint16(buf, uint16(min(max(at-e.at, 0), 1<<16-1)))
		buf = append(append(buf, byte(len(e.service))), e.service...)
		buf = binary.LittleEndian.AppendUint16(buf, uint16(len(e.answers)))
		buf = append(buf, e.answers...)
	}
	return string(buf)
}

// decodeAnswers reads a value of a shard and checks everything but the answers, which only the decision core can.
func decodeAnswers(value string, shard int) (at int64, all []exportedAnswers, err error) {
	if at, err = decodeAnswersHead(value); err != nil {
		return 0, nil, err
	}
	for rest := value[answersHead:]; len(rest) > 0; {
		var e exportedAnswers
		if e, rest, err = cutAnswers(rest, at); err != nil {
			return 0, nil, err
		}
		if CheckServiceName(e.service) != nil || Shard(e.service) != shard {
			return 0, nil, bad("name", "answers of %q: expected a service of shard %02d", clip(e.service), shard)
		}
		all = append(all, e)
	}
	return at, all, nil
}

// decodeAnswersHead reads when a value was written.
func decodeAnswersHead(value string) (int64, error) {
	if len(value) > maxAnswers {
		return 0, bad("size", "%d octets: expected at most %d", len(value), maxAnswers)
	}
	if len(value) < answersHead || value[0] != answersVersion {
		return 0, bad("version", "expected answers of version %d", answersVersion)
	}
	at := int64(binary.LittleEndian.Uint64([]byte(value[1:answersHead])))
	if at < 1 || at > maxTime {
		return 0, bad("range", "at %d: expected ms since 1970", at)
	}
	return at, nil
}

var errAnswersCut = bad("size", "expected whole answers of a service")

// cutAnswers reads the answers of one service and returns what follows them.
func cutAnswers(from string, at int64) (e exportedAnswers, rest string, err error) {
	if len(from) < 3 {
		return e, "", errAnswersCut
	}
	age, name := int64(uint16At(from, 0)), int(from[2])
	if from = from[3:]; len(from) < name+2 {
		return e, "", errAnswersCut
	}
	e.service, e.at = from[:name], at-age
	length := int(uint16At(from, name))
	if from = from[name+2:]; len(from) < length || length == 0 {
		return e, "", errAnswersCut
	}
	e.answers = from[:length]
	return e, from[length:], nil
}

func uint16At(s string, i int) uint16 { return uint16(s[i]) | uint16(s[i+1])<<8 }

// answersShard is one shard of the exchange.
type answersShard struct {
	number    int
	out       []exportedAnswers // what was exported here of late, the newest last; at is 0 until it is first written
	exported  []int64           // of each of them, when: ms on the store's clock
	unwritten bool              // whether some of that was not written yet

	offset   int64            // Redis's clock less the store's ...
	offsetAt int64            // ... as it was at this time on the store's clock; 0 is not known
	heard    map[string]int64 // by replica: the latest export that was heard of it, on Redis's clock
	peerAt   int64            // when another replica was there last, on the store's clock
	wroteAt  int64            // when this one wrote last
	nextAt   int64            // when it is next this shard's turn
	gone     []string         // fields of replicas that are gone

	said saying // what was just read
	err  error  // of the last write
}

// add takes in what was exported at a time on the store's clock.
func (sh *answersShard) add(a Shared) {
	sh.out = append(sh.out, exportedAnswers{service: a.Service, answers: string(a.Answers)})
	sh.exported = append(sh.exported, a.At)
	sh.unwritten = true
}

// expire drops what was exported too long ago to be told.
func (sh *answersShard) expire(now int64) {
	n := 0
	for i, at := range sh.exported {
		if now-at <= answersTold {
			sh.out[n], sh.exported[n] = sh.out[i], at
			n++
		}
	}
	clear(sh.out[n:])
	sh.out, sh.exported = sh.out[:n], sh.exported[:n]
}

// value is what this replica writes now (ms on the store's clock). The time of an export on Redis's clock is set once, so that
// readers recognize it.
func (sh *answersShard) value(now int64) string {
	newest := make([]exportedAnswers, 0, len(sh.out))
	for i := range sh.out {
		if sh.out[i].at == 0 {
			sh.out[i].at = min(sh.exported[i], now) + sh.offset
		}
		newest = append(newest, sh.out[i])
	}
	slices.Reverse(newest)
	return encodeAnswers(now+sh.offset, newest)
}
