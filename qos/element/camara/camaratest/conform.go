// Package camaratest holds what goes over the wire against CAMARA's own API definitions, release r3.2. They are no part of
// this repository: the environment variable FARM_CAMARA names the folder with quality-on-demand.yaml and
// qos-profiles.yaml. Without them, nothing is checked, and TestConformance says so.
package camaratest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"
)

// APIs are the definitions, ready to check calls.
type APIs struct {
	sessions, profiles routers.Router
	notification       *openapi3.Operation
	event              *openapi3.Schema
}

// Load reads the definitions; nil if they are not there.
func Load(t testing.TB) *APIs {
	t.Helper()
	dir := cmp.Or(os.Getenv("FARM_CAMARA"), beside(t))
	if _, err := os.Stat(filepath.Join(dir, "quality-on-demand.yaml")); err != nil {
		return nil
	}
	openapi3.DefineIPv4Format()
	openapi3.DefineIPv6Format()
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewCallbackValidator(uuid.Validate))
	openapi3filter.RegisterBodyDecoder("application/cloudevents+json", openapi3filter.JSONBodyDecoder)
	sessions, profiles := load(t, dir, "quality-on-demand.yaml"), load(t, dir, "qos-profiles.yaml")
	sink := sessions.Paths.Value("/sessions").Post.Callbacks["notifications"].Value.Value("{$request.body#/sink}")
	return &APIs{
		sessions: router(t, sessions, "/quality-on-demand/v1"), profiles: router(t, profiles, "/qos-profiles/v1"),
		notification: sink.Post, event: sessions.Components.Schemas["EventQosStatusChanged"].Value,
	}
}

// Require reads the definitions, and skips the test where they are not there.
func Require(t testing.TB) *APIs {
	t.Helper()
	apis := Load(t)
	if apis == nil {
		t.Skip("the CAMARA definitions are not there: FARM_CAMARA names the folder with quality-on-demand.yaml and qos-profiles.yaml (r3.2)")
	}
	return apis
}

// beside is the folder shared/camara beside the checkout.
func beside(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "camara")
		}
	}
	return ""
}

func load(t testing.TB, dir, file string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func router(t testing.TB, doc *openapi3.T, base string) routers.Router {
	t.Helper()
	doc.Servers = openapi3.Servers{{URL: base}}
	r, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What of a call is checked: a test of what the provider says of malformed requests sends some.
type Side int

// The sides.
const (
	Both Side = iota
	AnswersOnly
)

// Provider checks the calls that a provider answers: t fails for what the definitions do not allow. A nil APIs checks
// nothing.
func (a *APIs) Provider(t testing.TB, side Side, next http.Handler) http.Handler {
	if a == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		router := a.sessions
		if strings.HasPrefix(r.URL.Path, "/qos-profiles/") {
			router = a.profiles
		}
		route, params, err := router.FindRoute(r)
		if err != nil { // not of the API: the token endpoint, say
			next.ServeHTTP(w, r)
			return
		}
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options()}
		if side == Both {
			if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
				t.Errorf("request %s %s: %v", r.Method, r.URL.Path, err)
			}
		}
		a.answer(t, w, r, in, next)
	})
}

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc, // tokens are the provider's business
		IncludeResponseStatus: true,
	}
}

// answer has a call answered, and checks that.
func (a *APIs) answer(t testing.TB, w http.ResponseWriter, r *http.Request, in *openapi3filter.RequestValidationInput, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	check(t, in, rec.Code, rec.Header(), rec.Body.Bytes())
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// check checks an answer. A server that is in trouble is not bound by any definition.
func check(t testing.TB, in *openapi3filter.RequestValidationInput, status int, header http.Header, body []byte) {
	if status >= 500 {
		return
	}
	what := "answer to " + in.Request.Method + " " + in.Request.URL.Path
	resp := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Options: options(),
	}
	if err := openapi3filter.ValidateResponse(context.Background(), resp); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if said := in.Request.Header.Get("X-Correlator"); header.Get("X-Correlator") != said {
		t.Errorf("%s: expected x-correlator %q, got %q", what, said, header.Get("X-Correlator"))
	}
}

// Notifier checks the notifications that a provider sends through next, and what the sink says to them.
func (a *APIs) Notifier(t testing.TB, next http.RoundTripper) http.RoundTripper {
	if a == nil {
		return next
	}
	return transport(func(r *http.Request) (*http.Response, error) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		in := a.notified(t, r, sent)
		r.Body = io.NopCloser(bytes.NewReader(sent))
		resp, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		check(t, in, resp.StatusCode, resp.Header, got)
		resp.Body = io.NopCloser(bytes.NewReader(got))
		return resp, err
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// notified checks a notification.
func (a *APIs) notified(t testing.TB, r *http.Request, body []byte) *openapi3filter.RequestValidationInput {
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	route := &routers.Route{Spec: &openapi3.T{}, Path: "/", PathItem: &openapi3.PathItem{}, Method: r.Method, Operation: a.notification}
	in := &openapi3filter.RequestValidationInput{Request: copied, Route: route, QueryParams: url.Values{}, Options: options()}
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
		t.Errorf("notification: %v", err)
	}
	var event any
	if err := json.Unmarshal(body, &event); err != nil {
		t.Errorf("notification: %v", err)
	} else if err := a.event.VisitJSON(event, openapi3.EnableFormatValidation()); err != nil {
		t.Errorf("notification: %v", err)
	}
	return in
}
