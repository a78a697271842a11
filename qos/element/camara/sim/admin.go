package sim

import (
	"encoding/json"
	"net/http"
	"time"
)

// admin adds what is not of any operator: it looks into the simulator, and tells it what to do. It asks for no
// credentials.
func (p *Provider) admin(m *http.ServeMux) {
	m.HandleFunc("GET /sim/sessions", func(w http.ResponseWriter, _ *http.Request) {
		list := p.Sessions()
		if list == nil {
			list = []SessionInfo{}
		}
		reply(w, http.StatusOK, list, nil)
	})
	m.HandleFunc("GET /sim/calls", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, p.Calls(), nil)
	})
	m.HandleFunc("POST /sim/sessions/{id}/provide", p.atSession((*Provider).Provide))
	m.HandleFunc("POST /sim/sessions/{id}/terminate", p.atSession((*Provider).EndByNetwork))
	m.HandleFunc("POST /sim/tokens/revoke", func(w http.ResponseWriter, _ *http.Request) {
		p.RevokeTokens()
		reply(w, http.StatusNoContent, nil, nil)
	})
	m.HandleFunc("POST /sim/faults", func(w http.ResponseWriter, r *http.Request) {
		f := Fault{Count: 1}
		obey(w, r, &f, func() *failure { return argument(p.Fail(f)) })
	})
	m.HandleFunc("DELETE /sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		p.Heal()
		reply(w, http.StatusNoContent, nil, nil)
	})
	m.HandleFunc("POST /sim/advance", func(w http.ResponseWriter, r *http.Request) {
		var how struct {
			By Duration `json:"by"`
		}
		obey(w, r, &how, func() *failure { p.Advance(time.Duration(how.By)); return nil })
	})
	m.HandleFunc("PUT /sim/profiles/{name}", func(w http.ResponseWriter, r *http.Request) {
		one := Profile{Status: Active}
		obey(w, r, &one, func() *failure {
			one.Name = r.PathValue("name")
			return argument(p.SetProfile(one))
		})
	})
}

// obey reads what is to be done, and does it.
func obey(w http.ResponseWriter, r *http.Request, into any, do func() *failure) {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	f := argument(dec.Decode(into))
	if f == nil {
		f = do()
	}
	reply(w, http.StatusNoContent, nil, f)
}

func argument(err error) *failure {
	if err != nil {
		return invalid(err.Error())
	}
	return nil
}

func (p *Provider) atSession(do func(*Provider, string) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !do(p, r.PathValue("id")) {
			reply(w, 0, nil, notFound())
			return
		}
		reply(w, http.StatusNoContent, nil, nil)
	}
}
