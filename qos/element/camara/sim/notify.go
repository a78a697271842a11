package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// note is a notification that is to be sent.
type note struct {
	session *session
	sink    string
	token   string
	expires time.Time // of the token
	body    []byte
	at      time.Time
}

const (
	maxNotes      = 1_024 // that wait to be sent; more are lost
	maxSends      = 3     // of one notification
	sendTimeout   = 5 * time.Second
	sendPause     = 200 * time.Millisecond // before the second time, and twice as long before each next
	maxSinkAnswer = 4 << 10
)

// note writes down what a session's sink is to be told.
func (b *book) note(s *session, at time.Time) {
	if s.request.Sink == "" || s.deaf {
		return
	}
	data := map[string]string{"sessionId": s.id, "qosStatus": s.status}
	if s.info != "" {
		data["statusInfo"] = s.info
	}
	body, _ := json.Marshal(map[string]any{ // of strings alone
		"id": uuid.NewString(), "source": SessionsPath + "/sessions/" + s.id, "specversion": "1.0",
		"type":            "org.camaraproject.quality-on-demand.v1.qos-status-changed",
		"datacontenttype": "application/json", "time": at.UTC().Format(time.RFC3339Nano), "data": data,
	})
	n := note{session: s, sink: s.request.Sink, body: body, at: at}
	if c := s.request.SinkCredential; c != nil {
		n.token, n.expires = c.AccessToken, c.AccessTokenExpiresUTC
	}
	b.notes = append(b.notes, n)
}

// takeNotes returns what is to be sent.
func (b *book) takeNotes() []note {
	list := b.notes
	b.notes = nil
	return list
}

// hand gives notifications to who sends them. One whose token has expired is not sent.
func (p *Provider) hand(list []note) {
	for _, n := range list {
		p.cfg.Log.Info("session changed", "id", n.session.id, "status", n.session.status, "info", n.session.info)
		if n.token != "" && !n.at.Before(n.expires) {
			continue
		}
		select {
		case p.notes <- n:
		default:
			p.cfg.Log.Warn("a notification is lost: too many wait")
		}
	}
}

// notify sends notifications in order, until the context ends.
func (p *Provider) notify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-p.notes:
			p.send(ctx, n)
		}
	}
}

// send posts a notification a few times, until the sink has taken it, or says that it wants no more.
func (p *Provider) send(ctx context.Context, n note) {
	wait := sendPause
	for range maxSends {
		switch status := p.post(ctx, n); {
		case status == http.StatusGone:
			p.do(func(time.Time) { n.session.deaf = true })
			return
		case status >= 200 && status < 500 && status != 0:
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			wait *= 2
		}
	}
	p.cfg.Log.Warn("a notification is lost: its sink does not take it", "session", n.session.id)
}

// post posts a notification once. It returns 0 without an answer.
func (p *Provider) post(ctx context.Context, n note) int {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.sink, bytes.NewReader(n.body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("X-Correlator", n.session.id)
	if n.token != "" {
		req.Header.Set("Authorization", "Bearer "+n.token)
	}
	resp, err := p.cfg.Notifier.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxSinkAnswer) // lets the connection be used again
	return resp.StatusCode
}
