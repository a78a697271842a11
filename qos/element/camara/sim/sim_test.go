package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-farm/farm/qos/element/camara/camaratest"
)

// client calls a provider without a network, so that time can be fake.
type client struct {
	*testing.T
	*Provider
	handler http.Handler
	token   string
}

func newClient(t *testing.T, cfg Config) *client {
	t.Helper()
	cfg.Secret = "s3cret"
	c := &client{T: t, Provider: New(cfg)}
	t.Cleanup(c.Close)
	c.handler = camaratest.Load(t).Provider(t, camaratest.AnswersOnly, c.Provider)
	_, body := c.form(url.Values{"grant_type": {"client_credentials"}, "client_id": {"farm"}, "client_secret": {"s3cret"}})
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal([]byte(body), &answer) != nil || answer.Token == "" {
		t.Fatalf("no token: %s", body)
	}
	c.token = answer.Token
	return c
}

func (c *client) form(values url.Values) (int, string) {
	r := httptest.NewRequest(http.MethodPost, TokenPath, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	c.handler.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// call makes a call. A path without a slash is one of the sessions API.
func (c *client) call(method, path, body string) (int, string) {
	if !strings.HasPrefix(path, "/") {
		path = SessionsPath + "/" + path
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Correlator", "b4333c46-49c0-4f62-80d7-f0ef930f1c46")
	rec := httptest.NewRecorder()
	c.handler.ServeHTTP(rec, r)
	return rec.Code, strings.TrimSpace(rec.Body.String())
}

// want makes a call and compares status and code of the answer.
func (c *client) want(status int, code, method, path, body string) string {
	c.Helper()
	got, answer := c.call(method, path, body)
	if got != status || !strings.Contains(answer, code) {
		c.Errorf("%s %s %s: expected %d %s, got %d %s", method, path, body, status, code, got, answer)
	}
	return answer
}

// made creates a session and returns its id.
func (c *client) made(body string) string {
	c.Helper()
	var s SessionInfo
	if err := json.Unmarshal([]byte(c.want(201, "sessionId", "POST", "sessions", body)), &s); err != nil {
		c.Fatal(err)
	}
	return s.SessionID
}

// status looks at a session.
func (c *client) status(id string) string {
	c.Helper()
	code, body := c.call("GET", "sessions/"+id, "")
	var s SessionInfo
	if code == 404 {
		return "404"
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		c.Fatal(err)
	}
	return strings.TrimSpace(s.QosStatus + " " + s.StatusInfo)
}

const plain = `{"device":{"phoneNumber":"+123456789"},"applicationServer":{"ipv4Address":"198.51.100.7"},"qosProfile":"QOS_L","duration":3600}`

// with changes plain: each pair is a piece of it and what stands there instead.
func with(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(plain) }

// TestCreate: what the provider says of requests.
func TestCreate(t *testing.T) {
	c := newClient(t, Config{})
	credential := func(kind, token string) string {
		return with(`"duration"`, `"sink":"https://a.example/x","sinkCredential":{"credentialType":"`+kind+`","accessToken":"x",
			"accessTokenExpiresUtc":"2099-01-01T00:00:00Z","accessTokenType":"`+token+`"},"duration"`)
	}
	for _, r := range []struct {
		body   string
		status int
		code   string
	}{
		{`{`, 400, "INVALID_ARGUMENT"},
		{`{}`, 400, "INVALID_ARGUMENT"},
		{with("198.51.100.7", "nonsense"), 400, "INVALID_ARGUMENT"},
		{with("198.51.100.7", "2001:db8::1"), 400, "INVALID_ARGUMENT"},
		{with("3600", "0"), 400, "INVALID_ARGUMENT"},
		{with("3600", "86401"), 400, "DURATION_OUT_OF_RANGE"},
		{with("QOS_L", "Q"), 400, "INVALID_ARGUMENT"},
		{with("QOS_L", "QOS_X"), 400, "INVALID_ARGUMENT"},
		{with(`"duration"`, `"applicationServerPorts":{"ports":[]},"duration"`), 400, "INVALID_ARGUMENT"},
		{with(`"duration"`, `"applicationServerPorts":{"ranges":[{"from":9,"to":1}]},"duration"`), 400, "INVALID_ARGUMENT"},
		{with(`"duration"`, `"sink":"http://a.example/x","duration"`), 400, "INVALID_SINK"},
		{credential("PLAIN", "bearer"), 400, "INVALID_CREDENTIAL"},
		{credential("ACCESSTOKEN", "mac"), 400, "INVALID_TOKEN"},
		{with(`"device":{"phoneNumber":"+123456789"},`, ``), 422, "MISSING_IDENTIFIER"},
		{with(`"phoneNumber":"+123456789"`, ``), 400, "INVALID_ARGUMENT"},
		{with("+123456789", "123"), 400, "INVALID_ARGUMENT"},
		{with(`"phoneNumber":"+123456789"`, `"networkAccessIdentifier":"a@b.example"`), 422, "UNSUPPORTED_IDENTIFIER"},
		{with(`"phoneNumber":"+123456789"`, `"ipv4Address":{"publicAddress":"203.0.113.1"}`), 400, "INVALID_ARGUMENT"},
		{with(`"phoneNumber":"+123456789"`, `"ipv6Address":"203.0.113.1"`), 400, "INVALID_ARGUMENT"},
	} {
		c.want(r.status, r.code, "POST", "sessions", r.body)
	}
	if len(c.Sessions()) != 0 {
		t.Error("a refused request has made a session")
	}
	c.made(plain)
}

// TestConflicts: one flow of a device has one session.
func TestConflicts(t *testing.T) {
	c := newClient(t, Config{})
	ports := func(p string) string { return with(`"duration"`, `"applicationServerPorts":`+p+`,"duration"`) }
	id := c.made(ports(`{"ports":[443],"ranges":[{"from":8000,"to":8999}]}`))
	c.want(409, "CONFLICT", "POST", "sessions", plain)
	c.want(409, "CONFLICT", "POST", "sessions", ports(`{"ports":[8080]}`))
	c.want(409, "CONFLICT", "POST", "sessions", with("198.51.100.7", "198.51.100.0/24"))
	c.made(ports(`{"ports":[80]}`))
	c.made(with("198.51.100.7", "198.51.100.8"))
	c.made(with("+123456789", "+123456780"))
	c.EndByNetwork(id)
	c.want(409, "CONFLICT", "POST", "sessions", ports(`{"ports":[443]}`)) // until it is deleted
	c.want(204, "", "DELETE", "sessions/"+id, "")
	c.made(ports(`{"ports":[443]}`))
	list := c.want(200, "+123456789", "POST", "retrieve-sessions", `{"device":{"phoneNumber":"+123456789"}}`)
	if n := strings.Count(list, "sessionId"); n != 3 {
		t.Errorf("expected 3 sessions of the device, got %s", list)
	}
	c.want(200, "[]", "POST", "retrieve-sessions", `{"device":{"phoneNumber":"+99999"}}`)
	c.want(422, "MISSING_IDENTIFIER", "POST", "retrieve-sessions", `{}`)
}

// TestLife: the states of a session, by the clock alone.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Config{Setup: 2 * time.Second, TokenLife: 24 * time.Hour})
		defer c.Close()
		id := c.made(plain)
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "REQUESTED"}, {1999 * time.Millisecond, "REQUESTED"}, {time.Millisecond, "AVAILABLE"},
			{time.Hour - time.Millisecond, "AVAILABLE"}, {time.Millisecond, "UNAVAILABLE DURATION_EXPIRED"},
			{Retention - time.Millisecond, "UNAVAILABLE DURATION_EXPIRED"}, {time.Millisecond, "404"},
		} {
			time.Sleep(step.wait)
			if got := c.status(id); got != step.want {
				t.Errorf("after %v more: expected %s, got %s", step.wait, step.want, got)
			}
		}
	})
}

// TestLifeCutShort: the network ends a session, which can be seen for a while.
func TestLifeCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Config{Terminate: time.Minute})
		defer c.Close()
		id := c.made(plain)
		time.Sleep(time.Minute)
		if got := c.status(id); got != "UNAVAILABLE NETWORK_TERMINATED" {
			t.Errorf("got %s", got)
		}
		if s := c.Sessions()[0]; s.Duration != 60 || s.ExpiresAt.Sub(*s.StartedAt) != time.Minute {
			t.Errorf("session %+v", s)
		}
		c.want(409, "SESSION_EXTENSION_NOT_ALLOWED", "POST", "sessions/"+id+"/extend", `{"requestedAdditionalDuration":60}`)
		c.Advance(Retention)
		if got := c.status(id); got != "404" {
			t.Errorf("got %s", got)
		}
	})
}

func TestExtend(t *testing.T) {
	c := newClient(t, Config{})
	id := c.made(plain)
	c.want(400, "INVALID_ARGUMENT", "POST", "sessions/"+id+"/extend", `{}`)
	c.want(200, `"duration":5400`, "POST", "sessions/"+id+"/extend", `{"requestedAdditionalDuration":1800}`)
	c.want(200, `"duration":86400`, "POST", "sessions/"+id+"/extend", `{"requestedAdditionalDuration":2147483647}`)
	c.want(404, "NOT_FOUND", "POST", "sessions/3fa85f64-5717-4562-b3fc-2c963f66afa6/extend", `{"requestedAdditionalDuration":1}`)
	c.want(400, "INVALID_ARGUMENT", "GET", "sessions/nonsense", "")
	c.want(404, "NOT_FOUND", "DELETE", "sessions/3fa85f64-5717-4562-b3fc-2c963f66afa6", "")
}

func TestProfiles(t *testing.T) {
	c := newClient(t, Config{})
	c.want(200, `"maxDuration":{"value":1,"unit":"Days"}`, "GET", ProfilesPath+"/qos-profiles/QOS_L", "")
	c.want(404, "NOT_FOUND", "GET", ProfilesPath+"/qos-profiles/QOS_X", "")
	c.want(400, "INVALID_ARGUMENT", "GET", ProfilesPath+"/qos-profiles/a", "")
	c.want(204, "", "PUT", "/sim/profiles/QOS_L", `{"status":"DEPRECATED"}`)
	c.want(400, "status", "PUT", "/sim/profiles/QOS_L", `{"status":"GOOD"}`)
	c.want(422, "QOS_PROFILE_NOT_APPLICABLE", "POST", "sessions", plain)
	if list := c.want(200, "QOS_L", "POST", ProfilesPath+"/retrieve-qos-profiles", `{"status":"DEPRECATED"}`); strings.Count(list, "name") != 1 {
		t.Errorf("got %s", list)
	}
}

func TestTokens(t *testing.T) {
	c := newClient(t, Config{TokenLife: time.Minute})
	ok := url.Values{"grant_type": {"client_credentials"}, "client_id": {"farm"}, "client_secret": {"s3cret"}}
	for key, r := range map[string]struct{ value, want string }{
		"client_secret": {"wrong", "invalid_client"}, "client_id": {"other", "invalid_client"},
		"grant_type": {"password", "unsupported_grant_type"}, "scope": {"openid", "invalid_scope"},
	} {
		values := url.Values{}
		for k, v := range ok {
			values[k] = v
		}
		values.Set(key, r.value)
		if code, body := c.form(values); code < 400 || !strings.Contains(body, r.want) {
			t.Errorf("%s=%s: got %d %s", key, r.value, code, body)
		}
	}
	ok.Set("scope", "quality-on-demand:sessions:read")
	_, body := c.form(ok)
	good := c.token
	_, c.token, _ = strings.Cut(body, `"access_token":"`)
	c.token, _, _ = strings.Cut(c.token, `"`)
	c.want(403, "PERMISSION_DENIED", "POST", "sessions", plain)
	c.token = good
	c.Advance(time.Minute)
	c.want(401, "UNAUTHENTICATED", "POST", "sessions", plain)
}

// TestNotifications: a sink is told each change in order, with its token, until it says that it wants no more.
func TestNotifications(t *testing.T) {
	var mu sync.Mutex
	var got []string
	answer := 204
	c := newClient(t, Config{Setup: -1, Notifier: &http.Client{Transport: transport(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		var n struct {
			Data map[string]string `json:"data"`
		}
		_ = json.Unmarshal(body, &n)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Authorization")+" "+n.Data["qosStatus"]+" "+n.Data["statusInfo"])
		return &http.Response{StatusCode: answer, Body: http.NoBody}
	})}})
	sunk := with(`"duration"`, `"sink":"https://a.example/x","sinkCredential":{"credentialType":"ACCESSTOKEN","accessToken":"x",
		"accessTokenExpiresUtc":"2099-01-01T00:00:00Z","accessTokenType":"bearer"},"duration"`)
	told := func(want ...string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			have := strings.Join(got, ", ")
			mu.Unlock()
			if have == strings.Join(want, ", ") {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("expected %q, got %s", want, have)
			}
		}
	}
	id := c.made(sunk)
	c.Provide(id)
	told("Bearer x AVAILABLE ")
	mu.Lock()
	answer = 410
	mu.Unlock()
	c.want(204, "", "DELETE", "sessions/"+id, "")
	told("Bearer x AVAILABLE ", "Bearer x UNAVAILABLE DELETE_REQUESTED")
}

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestFaults: answers fail as they are told to, as often, and no others.
func TestFaults(t *testing.T) {
	first, err := ParseFault("createSession=429/QUOTA_EXCEEDEDx2")
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Config{Faults: []Fault{first}})
	c.want(200, "[]", "POST", "retrieve-sessions", `{"device":{"phoneNumber":"+99999"}}`)
	c.want(429, "QUOTA_EXCEEDED", "POST", "sessions", plain)
	c.want(429, "QUOTA_EXCEEDED", "POST", "sessions", plain)
	c.made(plain)
	c.want(204, "", "POST", "/sim/faults", `{"operation":"getSession","status":503,"delay":"1ms"}`)
	c.want(503, "UNAVAILABLE", "GET", "sessions/3fa85f64-5717-4562-b3fc-2c963f66afa6", "")
	c.want(204, "", "POST", "/sim/faults", `{"status":503,"count":9}`)
	c.want(204, "", "DELETE", "/sim/faults", "")
	c.want(404, "", "GET", "sessions/3fa85f64-5717-4562-b3fc-2c963f66afa6", "")
	for _, bad := range []string{`{"operation":"x"}`, `{"count":0}`, `{"status":200}`, `{"lost":"all"}`, `{"delay":"soon"}`, `{"unknown":1}`} {
		c.want(400, "INVALID_ARGUMENT", "POST", "/sim/faults", bad)
	}
	for _, bad := range []string{"", "createSession", "createSession=", "x=503", "createSession=503x", "createSession=503x0", "createSession=200"} {
		if f, err := ParseFault(bad); err == nil {
			t.Errorf("%q: got %+v", bad, f)
		}
	}
}

// TestAdmin: the simulator's own endpoints.
func TestAdmin(t *testing.T) {
	c := newClient(t, Config{Setup: -1})
	c.want(200, "[]", "GET", "/sim/sessions", "")
	id := c.made(plain)
	c.want(200, "REQUESTED", "GET", "/sim/sessions", "")
	c.want(204, "", "POST", "/sim/sessions/"+id+"/provide", "")
	c.want(404, "NOT_FOUND", "POST", "/sim/sessions/"+id+"/provide", "")
	c.want(204, "", "POST", "/sim/advance", `{"by":"10m"}`)
	c.want(200, "AVAILABLE", "GET", "/sim/sessions", "")
	c.want(204, "", "POST", "/sim/sessions/"+id+"/terminate", "")
	c.want(200, "NETWORK_TERMINATED", "GET", "/sim/sessions", "")
	c.want(200, `"createSession":1`, "GET", "/sim/calls", "")
	c.want(204, "", "POST", "/sim/tokens/revoke", "")
	c.want(401, "UNAUTHENTICATED", "GET", "sessions/"+id, "")
}

// TestConformance says whether the answers of the other tests are held against the API's definitions.
func TestConformance(t *testing.T) { camaratest.Require(t) }
