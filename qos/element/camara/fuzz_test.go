package camara

import (
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/camaratest"
)

const session = `{"sessionId":"3fa85f64-5717-4562-b3fc-2c963f66afa6","duration":3600,"qosStatus":"AVAILABLE","qosProfile":"QOS_L",
"applicationServer":{"ipv4Address":"198.51.100.0/24"},"applicationServerPorts":{"ports":[443],"ranges":[{"from":1,"to":2}]},
"startedAt":"2024-06-01T12:00:00Z","expiresAt":"2024-06-01T13:00:00Z","sink":"https://a.example/x"}`

func FuzzSession(f *testing.F) {
	for _, s := range []string{session, `{}`, `[]`, `null`, strings.Replace(session, "3600", "1e99", 1),
		strings.Replace(session, "AVAILABLE", "UNAVAILABLE", 1), strings.Replace(session, "2024", "9999", 2)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSession(b)
		if err != nil {
			return
		}
		if !isUUID(s.SessionID) || s.Duration < 1 {
			t.Errorf("let through %+v", s)
		}
		out := outcomeOf(s, false, answer{})
		if known := out.State == qos.Requested || out.State == qos.Granted || out.State == qos.Refused; !known {
			t.Errorf("outcome %+v", out)
		}
		s.equals(&s.flow)
		if !s.overlaps(&s.flow) {
			t.Errorf("%+v does not overlap with itself", s.flow)
		}
		s.end(time.Hour)
	})
}

func FuzzSessions(f *testing.F) {
	f.Add([]byte("[" + session + "]"))
	f.Add([]byte("[]"))
	f.Add([]byte("[null]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeSessions(b)
		if err == nil && len(list) > maxSessions {
			t.Errorf("let %d sessions through", len(list))
		}
	})
}

func FuzzNotification(f *testing.F) {
	f.Add([]byte(cloudEvent("3fa85f64-5717-4562-b3fc-2c963f66afa6", statusUnavailable, infoExpired)))
	f.Add([]byte(`{"specversion":"1.0","type":"x","data":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeNotification(b)
		if err == nil && (!isUUID(n.Data.SessionID) || len(n.Data.StatusInfo) > len(infoTerminated)) {
			t.Errorf("let through %+v", n)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("the error is long: %v", err)
		}
	})
}

func FuzzProblem(f *testing.F) {
	f.Add(409, []byte(`{"status":409,"code":"CONFLICT","message":"Conflict with an existing session for the same device."}`))
	f.Add(400, []byte(`{"code":"`+strings.Repeat("A", 1000)+`","message":"\u001b[31m\n`+strings.Repeat("é", 1000)+`"}`))
	f.Add(500, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, b []byte) {
		p := decodeProblem(status, b)
		out, err := refusal(p)
		if err != nil || out.State != qos.Refused || out.Reason == qos.NoReason || len(out.Detail) > 200 ||
			strings.ContainsFunc(out.Detail, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("outcome %+v, %v", out, err)
		}
	})
}

func FuzzProfile(f *testing.F) {
	f.Add([]byte(`{"name":"QOS_L","status":"ACTIVE","minDuration":{"value":1,"unit":"Minutes"},"maxDuration":{"value":1,"unit":"Days"}}`))
	f.Add([]byte(`{"minDuration":{"value":9223372036854775807,"unit":"Days"},"maxDuration":{"value":1,"unit":"Nanoseconds"}}`))
	f.Add([]byte(`{"maxDuration":{"value":-1,"unit":"Weeks"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeProfile(b)
		if err == nil && (p.least < 0 || p.most < 0 || p.most > 0 && p.most < p.least) {
			t.Errorf("let through %+v", p)
		}
	})
}

// TestConformance says whether what the other tests send and answer is held against the API's definitions.
func TestConformance(t *testing.T) { camaratest.Require(t) }
