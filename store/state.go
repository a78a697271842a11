package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The state file holds the last good records, so that a restart answers at once. First line: stateMagic and the SHA-256
// of all that follows; then one JSON stateLine a line.
const (
	stateMagic = "farm-state-1 "
	saveEvery  = 10 * time.Second
	maxState   = 4 << 30
)

// stateLine is a shard's place or one record. Times are in ms relative to the moment of saving, on the life clock.
// A grant's own times are those of the running clock, and so near the time of day.
type stateLine struct {
	Shard    *stateShard     `json:"shard,omitempty"`
	Kind     string          `json:"k,omitempty"`
	Service  string          `json:"s,omitempty"`
	ID       string          `json:"i,omitempty"`
	Data     json.RawMessage `json:"d,omitempty"`
	Left     int64           `json:"left,omitempty"`     // of a report's lease; may be negative
	Ago      int64           `json:"ago,omitempty"`      // since an admin state was set
	Well     int64           `json:"well,omitempty"`     // since the server is well again, by a report; 0 is always
	Lost     bool            `json:"lost,omitempty"`     // an orphan
	Capacity float64         `json:"capacity,omitempty"` // of a server, measured

	value any // becomes Data when the line is written
}

type stateShard struct {
	Number int    `json:"number"`
	Epoch  uint64 `json:"epoch"`
	Rev    uint64 `json:"rev"`
	Edited int64  `json:"edited,omitempty"`
}

// lines lists what the state file holds. It copies what may change, so that encoding needs no lock.
func (r *replica) lines(now int64) []stateLine {
	var out []stateLine
	for i, sh := range r.shards {
		out = append(out, stateLine{Shard: &stateShard{i, sh.epoch, sh.rev, sh.edited}})
		life := sh.clock.at(now)
		for name, s := range sh.services {
			if s.spec != nil {
				out = append(out, stateLine{Kind: kindService, Service: name, Lost: s.lost != 0, value: s.spec})
			}
			for id, v := range s.servers {
				out = v.lines(out, name, id, life)
			}
			out = s.held.lines(out)
		}
	}
	return out
}

func (v *server) lines(out []stateLine, svc, id string, life int64) []stateLine {
	line := func(kind, id string, lost bool, value any) *stateLine {
		out = append(out, stateLine{Kind: kind, Service: svc, ID: id, Lost: lost, value: value})
		return &out[len(out)-1]
	}
	if v.rec != nil {
		line(kindServer, id, v.lost != 0, serverRecord{*v.rec, v.by}).Capacity = v.measured.Capacity
	}
	if a := &v.admin; a.state != "" {
		line(kindAdmin, id, a.lost != 0, a.wire()).Ago = life - a.since
	}
	report := func(id string, w *word) {
		l := line(kindReport, id, w.lost != 0, w.wire())
		l.Left = w.end - life
		if w.well > 0 {
			l.Well = max(life-w.well, 1)
		}
	}
	if v.own != nil {
		report(id, v.own)
	}
	for reporter, w := range v.probes {
		report(id+"@"+reporter, w)
	}
	return out
}

// wire is the inverse of Report.steer.
func (w *word) wire() *Report {
	return &Report{
		Utilization: known(w.Utilization), RPS: known(w.RPS), EPS: known(w.EPS), InFlight: known(w.InFlight),
		Latency: known(w.Latency), Health: w.Health, Reason: w.Reason, Lease: w.Lease, At: w.at,
	}
}

func known(x float64) *float64 {
	if x < 0 {
		return nil
	}
	return &x
}

func encodeState(lines []stateLine) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for i := range lines {
		l := &lines[i]
		if l.value != nil {
			data, err := json.Marshal(l.value)
			if err != nil {
				return nil, fmt.Errorf("%s %s %s: %w", l.Kind, l.Service, l.ID, err)
			}
			l.Data = data
		}
		if err := enc.Encode(l); err != nil {
			return nil, err
		}
	}
	return seal(body.Bytes()), nil
}

// seal puts the first line before the others.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append([]byte(stateMagic+hex.EncodeToString(sum[:])+"\n"), body...)
}

// errDamaged is what decodeState returns for anything that was not written by encodeState.
var errDamaged = errors.New("damaged")

// decodeState checks all before it gives out anything.
func decodeState(data []byte) ([]stateLine, error) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	want, ok := strings.CutPrefix(string(head), stateMagic)
	if !ok {
		return nil, fmt.Errorf("%w: expected %q at the start", errDamaged, stateMagic)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != want {
		return nil, fmt.Errorf("%w: the checksum does not match", errDamaged)
	}
	var lines []stateLine
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var l stateLine
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w: %s", errDamaged, err)
		}
		if s := l.Shard; s != nil && (s.Number < 0 || s.Number >= Shards) {
			return nil, fmt.Errorf("%w: shard %d: expected 0 to %d", errDamaged, s.Number, Shards-1)
		}
		lines = append(lines, l)
	}
}

// restore fills an empty replica from the state file.
func (r *replica) restore(lines []stateLine, now int64) {
	for _, l := range lines {
		if l.Shard != nil {
			sh := r.shards[l.Shard.Number]
			sh.epoch, sh.rev, sh.loaded = l.Shard.Epoch, l.Shard.Rev, true
			sh.edited = min(max(l.Shard.Edited, 0), maxTime)
			sh.noteEpoch()
			continue
		}
		r.restoreRecord(&l, now)
	}
}

func (r *replica) restoreRecord(l *stateLine, now int64) {
	n := Shard(l.Service)
	sh := r.shards[n]
	m := moment{now: now, life: sh.clock.at(now), first: true}
	if l.Kind == kindGrant {
		m.redis = now // its times are those of our clock
	}
	r.apply(sh, n, record{l.Kind, l.Service, l.ID, string(l.Data)}, false, m)
	id, reporter, _ := strings.Cut(l.ID, "@")
	lost := int64(0)
	if l.Lost {
		lost = m.life
	}
	if s := sh.services[l.Service]; s != nil && l.Kind == kindService {
		s.lost = lost
	} else if s != nil && l.Kind == kindGrant {
		s.markGrant(l.ID, lost)
		return
	}
	v := sh.find(l.Service, id)
	if v == nil {
		return
	}
	switch l.Kind {
	case kindServer:
		v.lost, v.measured.Capacity = lost, max(l.Capacity, 0)
	case kindAdmin:
		v.admin.lost, v.admin.since = lost, m.life-clampMS(l.Ago)
	case kindReport:
		if w := v.word(reporter); w != nil {
			w.lost, w.end = lost, m.life+clampMS(l.Left)
			if l.Well > 0 {
				w.well = m.life - clampMS(l.Well)
			}
		}
	}
}

// clampMS keeps a time from a file within what a life can hold.
func clampMS(ms int64) int64 { return min(max(ms, -lifeStart/2), lifeStart/2) }

// warm takes the state file, if there is one. A damaged one is moved aside, so that it can be looked at and is not
// overwritten.
func (s *Store) warm() {
	path := s.cfg.StateFile
	if path == "" {
		return
	}
	sweepTemps(path)
	lines, err := readState(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDamaged):
		s.cfg.Logger.warn("state file %s: %s; not used, kept as %s.damaged", path, err, path)
		if err := os.Rename(path, path+".damaged"); err != nil {
			s.cfg.Logger.warn("state file: %s", err)
		}
	case err != nil:
		s.cfg.Logger.warn("state file: %s; not used", err)
	default:
		s.warmedAt = s.now()
		lines = s.entitled.restore(lines, s.warmedAt)
		s.replica.restore(lines, s.warmedAt)
		s.replica.endGrants(s.warmedAt)
		s.tellGrants()
		s.cfg.Logger.info("state file %s: %d records", path, len(lines)-Shards)
	}
}

// oldTemp is the age from which a half-written file belongs to nobody who still writes it.
const oldTemp = time.Hour

// sweepTemps removes what processes that were killed while they wrote left behind.
func sweepTemps(path string) {
	dir := filepath.Dir(path)
	left, _ := os.ReadDir(dir)
	for _, e := range left {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && strings.HasPrefix(e.Name(), filepath.Base(path)+tempSuffix) &&
			time.Since(info.ModTime()) > oldTemp {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// tempSuffix goes between the name of the state file and what makes the name of its temporary file unique.
const tempSuffix = ".tmp"

func readState(path string) ([]stateLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(bufio.NewReader(f), maxState))
	if err != nil {
		return nil, err
	}
	return decodeState(data)
}

// saveLoop writes the state file now and then, and at the end. Large files are written more rarely.
func (s *Store) saveLoop(ctx context.Context) {
	if s.cfg.StateFile == "" {
		return
	}
	wait := saveEvery
	for pause(ctx, wait) {
		began := time.Now()
		s.save()
		wait = max(saveEvery, 20*time.Since(began))
	}
	s.save()
}

// save writes the state file if there is something new and the database was read: records that are only those of the
// file are not written back.
func (s *Store) save() {
	s.mu.Lock()
	now := s.now()
	version := s.replica.version() + s.entitled.version()
	due := s.hasRead() && version != s.tally.saved
	var lines []stateLine
	if due {
		lines = s.entitled.lines(s.replica.lines(now))
	}
	s.mu.Unlock()
	if !due {
		return
	}
	data, err := encodeState(lines)
	if err == nil {
		err = writeFile(s.cfg.StateFile, data)
	}
	s.saved(version, err)
}

// saved notes how it went, and logs when that changes.
func (s *Store) saved(version uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && s.tally.saveErr == "":
		s.cfg.Logger.warn("state file: %s; tries again every %v", err, saveEvery)
	case err == nil && s.tally.saveErr != "":
		s.cfg.Logger.info("state file %s: written again", s.cfg.StateFile)
	}
	s.tally.saveErr = ""
	if err != nil {
		s.tally.saveErr = err.Error()
		return
	}
	s.tally.saved = version
}

// version differs when anything was applied in between.
func (r *replica) version() uint64 {
	n := r.edits + 1
	for _, applied := range r.counts.applied {
		n += applied
	}
	return n
}

func (s *Store) hasRead() bool {
	for _, sh := range s.replica.shards {
		if !sh.read {
			return false
		}
	}
	return true
}

// writeFile replaces a file so that, whatever happens, there is the old one or the new one.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempSuffix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
