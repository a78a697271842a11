package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"time"
)

// Where the APIs stand, below the simulator's root.
const (
	SessionsPath = "/quality-on-demand/v1"
	ProfilesPath = "/qos-profiles/v1"
	TokenPath    = "/oauth2/token"
)

// operation is one operation of the APIs. act is called with the operator's books open.
type operation struct {
	name  string // operationId
	scope string
	act   func(r *http.Request, client string, now time.Time) (status int, body any, f *failure)
}

func (p *Provider) routes() *http.ServeMux {
	m := http.NewServeMux()
	const qod, profile = "quality-on-demand:sessions:", "qos-profiles:read"
	for pattern, op := range map[string]operation{
		"POST " + SessionsPath + "/sessions":              {"createSession", qod + "create", p.create},
		"GET " + SessionsPath + "/sessions/{id}":          {"getSession", qod + "read", p.get},
		"DELETE " + SessionsPath + "/sessions/{id}":       {"deleteSession", qod + "delete", p.delete},
		"POST " + SessionsPath + "/sessions/{id}/extend":  {"extendQosSessionDuration", qod + "update", p.extend},
		"POST " + SessionsPath + "/retrieve-sessions":     {"retrieveSessionsByDevice", qod + "retrieve-by-device", p.retrieve},
		"GET " + ProfilesPath + "/qos-profiles/{name}":    {"getQosProfile", profile, p.getProfile},
		"POST " + ProfilesPath + "/retrieve-qos-profiles": {"retrieveQoSProfiles", profile, p.findProfiles},
	} {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, op) })
	}
	m.HandleFunc("POST "+TokenPath, p.token)
	p.admin(m)
	return m
}

var correlatorForm = regexp.MustCompile(`^[a-zA-Z0-9_:;./<>{}-]{0,256}$`)

// serve answers one call of an operation, or fails as it is told to.
func (p *Provider) serve(w http.ResponseWriter, r *http.Request, op operation) {
	said := r.Header.Get("X-Correlator")
	if !correlatorForm.MatchString(said) {
		reply(w, 0, nil, invalid("x-correlator: expected at most 256 of its characters"))
		return
	}
	if said != "" {
		w.Header().Set("X-Correlator", said)
	}
	fault := p.enter(op.name)
	sleep(r, p.cfg.Latency+time.Duration(fault.Delay))
	if fault.Lost == LostRequest {
		panic(http.ErrAbortHandler)
	}
	if fault.Status != 0 {
		fault.write(w)
		return
	}
	status, body, f := p.act(r, op)
	if fault.Lost == LostAnswer {
		panic(http.ErrAbortHandler)
	}
	reply(w, status, body, f)
}

// act reads what is asked, and does it if the client may.
func (p *Provider) act(r *http.Request, op operation) (status int, body any, f *failure) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, invalid("expected a whole body, and not more of it than anybody needs")
	}
	r.Body = io.NopCloser(bytes.NewReader(asked)) // nobody waits for the client while the books are open
	p.do(func(now time.Time) {
		var client string
		if client, f = p.admit(r, op.scope, now); f == nil {
			status, body, f = op.act(r, client, now)
		}
	})
	return status, body, f
}

func sleep(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// failure is an error in the form of the API.
type failure struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func fail(status int, code, message string) *failure { return &failure{status, code, message} }

func invalid(message string) *failure {
	return fail(http.StatusBadRequest, "INVALID_ARGUMENT", message)
}

func notFound() *failure {
	return fail(http.StatusNotFound, "NOT_FOUND", "The specified resource is not found.")
}

// reply writes an answer: a failure, a body, or the status alone.
func reply(w http.ResponseWriter, status int, body any, f *failure) {
	if f != nil {
		status, body = f.Status, f
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
