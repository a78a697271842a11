package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/coredns-farm/farm/steer"
)

// The kinds of records, as entries of the change streams name them.
const (
	kindService = "service"
	kindServer  = "server"
	kindAdmin   = "admin"
	kindReport  = "report"
)

// ByOperator and ByAgent say who registered a server or set an admin state.
const (
	ByOperator = "operator"
	ByAgent    = "agent"
)

// badRecord is why a record was rejected. The reason is one of a few words, for counters.
type badRecord struct {
	reason string
	text   string
}

func (e *badRecord) Error() string { return e.text }

func bad(reason, format string, args ...any) error {
	return &badRecord{reason, fmt.Sprintf(format, args...)}
}

// reasonOf returns the counter under which a rejection goes.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*badRecord](err); ok {
		return e.reason
	}
	return "other"
}

// decode reads one JSON object. Unknown fields are left alone: a newer writer may know more.
func decode(data string, into any) error {
	if len(data) > maxRecord {
		return bad("size", "%d octets: expected at most %d", len(data), maxRecord)
	}
	if !utf8.ValidString(data) {
		return bad("json", "not UTF-8")
	}
	if err := json.Unmarshal([]byte(data), into); err != nil {
		return bad("json", "%s", clip(err.Error()))
	}
	return nil
}

// serviceRecord is a field of the services hash. An implied one was written by a script because something hangs under
// the service, and says nothing of it.
type serviceRecord struct {
	steer.Service
	Implied bool `json:"implied,omitempty"`
}

func decodeService(name, data string) (*serviceRecord, error) {
	if err := CheckServiceName(name); err != nil {
		return nil, err
	}
	rec := new(serviceRecord)
	if err := decode(data, rec); err != nil {
		return nil, err
	}
	if err := checkZeros(data); err != nil {
		return nil, err
	}
	rec.Name = name
	lowerService(&rec.Service)
	slices.SortFunc(rec.Levels, func(a, b steer.Level) int { return cmp.Compare(a.Rank, b.Rank) })
	return rec, errors.Join(CheckService(&rec.Service), CheckAlias(name, rec.Fallback...))
}

// lowerService makes names in a record lower case: DNS knows no other difference, whoever writes.
func lowerService(s *steer.Service) {
	lowerAll(s.Fallback)
	for i := range s.Levels {
		s.Levels[i].Name = strings.ToLower(s.Levels[i].Name)
		lowerAll(s.Levels[i].Classes)
	}
}

func lowerAll(names []string) {
	for i, name := range names {
		names[i] = strings.ToLower(name)
	}
}

// CheckService says what is wrong with a service's record, nil if nothing is.
func CheckService(s *steer.Service) error {
	if s.Policy != "" && !knownPolicy(s.Policy) {
		return bad("range", "policy %q: expected one of %v", clip(string(s.Policy)), steer.Policies)
	}
	if s.Answers < 0 || s.Answers > steer.MaxAnswers {
		return bad("range", "answers %d: expected 1 to %d", s.Answers, steer.MaxAnswers)
	}
	if err := checkTTL(s.TTL, s.MaxTTL); err != nil {
		return err
	}
	if err := checkRange("slow_start", s.SlowStart, steer.MaxRamp); err != nil {
		return err
	}
	if err := checkRange("drain", s.Drain, steer.MaxRamp); err != nil {
		return err
	}
	if f := s.Failback; f != nil && *f != steer.ByHand && !within(*f, 0, steer.MaxRamp) {
		return bad("range", "failback %v: expected 0 to %d s, or %d, by hand", *f, steer.MaxRamp, steer.ByHand)
	}
	if err := checkLimits(s.Soft, s.Hard); err != nil {
		return err
	}
	if err := checkLevels(s.Levels); err != nil {
		return err
	}
	return checkLists(s)
}

func knownPolicy(p steer.Policy) bool {
	for _, known := range steer.Policies {
		if p == known {
			return true
		}
	}
	return false
}

// maxLimit bounds soft and hard limits; utilisations above 1 are possible, but nobody plans for ten times that.
const maxLimit = 10

func checkLimits(soft *float64, hard float64) error {
	if err := checkRange("soft", soft, maxLimit); err != nil {
		return err
	}
	if !within(hard, 0, maxLimit) {
		return bad("range", "hard %v: expected a number above 0 and up to %d", hard, maxLimit)
	}
	if soft != nil && hard > 0 && *soft > hard {
		return bad("range", "soft %v, hard %v: expected soft <= hard", *soft, hard)
	}
	return nil
}

// checkTTL checks both TTLs. The longest alone may lie above the shortest of a layer below, but 0 cannot.
func checkTTL(ttl, upTo *uint32) error {
	switch {
	case ttl != nil && *ttl > steer.MaxTTL:
		return bad("range", "ttl %d: expected 0 to %d", *ttl, steer.MaxTTL)
	case upTo == nil:
		return nil
	case *upTo > steer.MaxTTL:
		return bad("range", "max_ttl %d: expected 0 to %d", *upTo, steer.MaxTTL)
	case ttl != nil && *upTo < *ttl:
		return bad("range", "ttl %d, max_ttl %d: expected ttl <= max_ttl", *ttl, *upTo)
	case ttl == nil && *upTo == 0:
		return bad("range", "max_ttl 0: expected ttl 0 as well")
	}
	return nil
}

// checkRange checks a number that may be 0. An absent one is fine.
func checkRange(name string, x *float64, most float64) error {
	if x != nil && !within(*x, 0, most) {
		return bad("range", "%s %v: expected 0 to %v", name, *x, most)
	}
	return nil
}

func checkLists(s *steer.Service) error {
	const most = 8
	if len(s.Fallback) > most || len(s.ALPN) > most {
		return bad("count", "fallback, alpn: expected at most %d of each", most)
	}
	for _, name := range s.Fallback {
		if err := checkFQDN(name); err != nil {
			return bad("name", "fallback: %s", err)
		}
	}
	for _, p := range s.ALPN {
		if p == "" || len(p) > 32 || !printable(p) {
			return bad("name", "alpn %q: expected 1 to 32 printable characters", clip(p))
		}
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// serverRecord is a field of a service's servers hash.
type serverRecord struct {
	steer.Server
	By string `json:"by,omitempty"` // who registered it; empty is an operator
}

func decodeServer(id, data string) (*serverRecord, error) {
	if !isID(id) {
		return nil, CheckID(id)
	}
	rec := new(serverRecord)
	if err := decode(data, rec); err != nil {
		return nil, err
	}
	if err := checkZeros(data); err != nil {
		return nil, err
	}
	rec.ID = id
	rec.Target = strings.ToLower(rec.Target)
	lowerAll(rec.Classes)
	for i, a := range rec.Addresses {
		rec.Addresses[i] = a.Unmap()
	}
	if rec.By != "" && rec.By != ByAgent && rec.By != ByOperator {
		return nil, bad("range", "by %q: expected %s or %s", clip(rec.By), ByAgent, ByOperator)
	}
	return rec, CheckServer(&rec.Server)
}

// CheckServer says what is wrong with a server's record, nil if nothing is.
func CheckServer(s *steer.Server) error {
	if err := checkPlace(s); err != nil {
		return err
	}
	if err := checkRange("weight", s.Weight, steer.MaxWeight); err != nil {
		return err
	}
	if !within(s.Capacity, 0, steer.MaxRate) {
		return bad("range", "capacity %v: expected 0 to %v", s.Capacity, steer.MaxRate)
	}
	if len(s.Region) > maxID || !printable(s.Region) {
		return bad("name", "region %q: expected at most %d printable characters", clip(s.Region), maxID)
	}
	if err := checkClasses("server", s.Classes); err != nil {
		return err
	}
	return checkLimits(s.Soft, s.Hard)
}

// checkPlace checks where a server serves.
func checkPlace(s *steer.Server) error {
	if s.Target != "" {
		if len(s.Addresses) > 0 {
			return bad("range", "addresses and target: expected one of them")
		}
		if err := checkFQDN(s.Target); err != nil {
			return bad("name", "target: %s", err)
		}
		return nil
	}
	if len(s.Addresses) == 0 || len(s.Addresses) > steer.MaxAddresses {
		return bad("count", "%d addresses: expected 1 to %d, or a target", len(s.Addresses), steer.MaxAddresses)
	}
	for _, a := range s.Addresses {
		if err := CheckAddress(a); err != nil {
			return err
		}
	}
	return nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// CheckAddress says what is wrong with an address as that of a server, nil if nothing is. A link-local address means another host on
// every link.
func CheckAddress(a netip.Addr) error {
	switch u := a.Unmap(); {
	case !a.IsValid() || a.Zone() != "" || u.IsUnspecified() || u.IsMulticast() || u == broadcast:
		return bad("range", "address %s: expected a unicast address without a zone", a)
	case u.IsLinkLocalUnicast():
		return bad("range", "address %s: expected one that is not link-local", a)
	}
	return nil
}

// The ways in which a server whose agent has spoken for it leaves.
const (
	LeftStopped = "stopped" // its agent stopped, and took it out
	LeftSwept   = "swept"   // its agent crashed, and has been silent for an hour
)

// adminRecord is a field of a service's admin states hash. Of a server that has left and that no operator took out it
// says maint by its agent, for readers that know nothing of Left.
type adminRecord struct {
	State  steer.AdminState `json:"state"`
	Since  int64            `json:"since"` // ms on Redis's clock
	By     string           `json:"by,omitempty"`
	Left   string           `json:"left,omitempty"`    // how the server left; no report came since
	LeftAt int64            `json:"left_at,omitempty"` // ms on Redis's clock

	Addresses []netip.Addr `json:"addresses,omitempty"` // where it served, if its record went along
}

func (rec *adminRecord) departure(id string) *departure {
	if rec.Left == "" {
		return nil
	}
	d := &departure{how: rec.Left, at: rec.LeftAt}
	if len(rec.Addresses) > 0 {
		d.server = &steer.Server{ID: id, Addresses: rec.Addresses}
	}
	return d
}

// wire is the inverse of decodeAdmin.
func (a *admin) wire() adminRecord {
	rec := adminRecord{State: a.state, Since: a.at, By: a.by}
	if a.left != nil {
		rec.Left, rec.LeftAt = a.left.how, a.left.at
		if a.left.server != nil {
			rec.Addresses = a.left.server.Addresses
		}
	}
	return rec
}

func decodeAdmin(id, data string) (*adminRecord, error) {
	if !isID(id) {
		return nil, CheckID(id)
	}
	rec := new(adminRecord)
	if err := decode(data, rec); err != nil {
		return nil, err
	}
	if rec.Since <= 0 || rec.Since > maxTime {
		return nil, bad("range", "since %d: expected ms since 1970", rec.Since)
	}
	if rec.Left != "" && (rec.LeftAt <= 0 || rec.LeftAt > maxTime) {
		return nil, bad("range", "left_at %d: expected ms since 1970", rec.LeftAt)
	}
	if len(rec.Left) > maxID {
		return nil, bad("size", "left: expected at most %d octets", maxID)
	}
	if len(rec.Addresses) > steer.MaxAddresses {
		return nil, bad("count", "%d addresses: expected at most %d", len(rec.Addresses), steer.MaxAddresses)
	}
	for i, a := range rec.Addresses {
		rec.Addresses[i] = a.Unmap()
	}
	return rec, CheckAdmin(rec.State)
}

// CheckAdmin says whether state is an admin state.
func CheckAdmin(state steer.AdminState) error {
	switch state {
	case steer.Ready, steer.Drain, steer.Maint:
		return nil
	}
	return bad("range", "state %q: expected ready, drain or maint", clip(string(state)))
}

func decodeReport(service, field, data string) (*Report, error) {
	id, reporter, err := splitField(field)
	if err != nil {
		return nil, err
	}
	if len(data) > maxRecord || !utf8.ValidString(data) {
		return nil, decode(data, nil)
	}
	r := &Report{Service: service, ID: id, Reporter: reporter}
	if !flatReport(data, r) {
		*r = Report{Service: service, ID: id, Reporter: reporter}
		if err := decode(data, r); err != nil {
			return nil, err
		}
	}
	if r.At <= 0 || r.At > maxTime || r.Well < 0 || r.Well > maxTime {
		return nil, bad("range", "at %d, well %d: expected ms since 1970", r.At, r.Well)
	}
	return r, r.check()
}

// maxTime bounds times of the database, in ms: the year 5138. It keeps sums far from overflow.
const maxTime = 1e14
