package sim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault makes answers fail.
type Fault struct {
	Operation  string   `json:"operation,omitempty"`   // operationId, or "token"; empty is every operation
	Count      int      `json:"count"`                 // how many answers fail; at least 1
	Status     int      `json:"status,omitempty"`      // of the answer; 0 is as usual
	Code       string   `json:"code,omitempty"`        // of the error
	RetryAfter int      `json:"retry_after,omitempty"` // s
	Delay      Duration `json:"delay,omitempty"`       // before anything is done
	Lost       string   `json:"lost,omitempty"`        // LostRequest or LostAnswer: the connection is cut
}

// What of a call can be lost.
const (
	LostRequest = "request" // nothing has been done
	LostAnswer  = "answer"  // it has been done
)

// Duration is a time.Duration that is written as text, such as 1m30s.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return errors.New("expected a duration, such as 1m30s")
	}
	*d = Duration(v)
	return nil
}

// maxFaults bounds the faults that wait for their call.
const maxFaults = 1_000

var operations = []string{
	"", "createSession", "getSession", "deleteSession", "extendQosSessionDuration", "retrieveSessionsByDevice",
	"getQosProfile", "retrieveQoSProfiles", "token",
}

// Check says what is wrong with a fault.
func (f *Fault) Check() error {
	switch {
	case !slices.Contains(operations, f.Operation):
		return fmt.Errorf("operation: expected one of %q", operations[1:])
	case f.Count < 1:
		return errors.New("count: expected at least 1")
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return errors.New("status: expected 400 to 599")
	case f.Lost != "" && f.Lost != LostRequest && f.Lost != LostAnswer:
		return errors.New("lost: expected request or answer")
	}
	return nil
}

// ParseFault reads OPERATION=STATUS[/CODE][xCOUNT], such as createSession=503 or createSession=409/CONFLICTx2.
func ParseFault(s string) (Fault, error) {
	op, what, ok := strings.Cut(s, "=")
	f := Fault{Operation: op, Count: 1}
	if i := strings.LastIndexByte(what, 'x'); i >= 0 {
		var err error
		if f.Count, err = strconv.Atoi(what[i+1:]); err != nil {
			ok = false
		}
		what = what[:i]
	}
	status, code, _ := strings.Cut(what, "/")
	f.Code = code
	var err error
	if f.Status, err = strconv.Atoi(status); err != nil || !ok {
		return f, errors.New("expected OPERATION=STATUS[/CODE][xCOUNT], such as createSession=429/TOO_MANY_REQUESTSx2")
	}
	return f, f.Check()
}

// Fail makes the next answers fail, after those of earlier faults.
func (p *Provider) Fail(f Fault) error {
	if err := f.Check(); err != nil {
		return err
	}
	full := false
	p.do(func(time.Time) {
		if full = len(p.faults) >= maxFaults; !full {
			p.faults = append(p.faults, f)
		}
	})
	if full {
		return fmt.Errorf("expected at most %d faults at a time", maxFaults)
	}
	return nil
}

// Heal forgets the faults that have not happened yet.
func (p *Provider) Heal() {
	p.do(func(time.Time) { p.faults = nil })
}

// enter counts a call, and returns the fault that it meets; the zero one is none.
func (p *Provider) enter(op string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[op]++
	i := slices.IndexFunc(p.faults, func(f Fault) bool { return f.Operation == "" || f.Operation == op })
	if i < 0 {
		return Fault{}
	}
	f := p.faults[i]
	if p.faults[i].Count--; p.faults[i].Count == 0 {
		p.faults = slices.Delete(p.faults, i, i+1)
	}
	return f
}

func (f *Fault) write(w http.ResponseWriter) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	code := f.Code
	if code == "" {
		code = usualCodes[f.Status]
	}
	reply(w, f.Status, nil, fail(f.Status, code, "The simulator was told to answer so."))
}

// usualCodes are what a status says most of the time.
var usualCodes = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "CONFLICT",
	422: "SERVICE_NOT_APPLICABLE", 429: "TOO_MANY_REQUESTS", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "TIMEOUT",
}
