package camara

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// problem is an error that the operator has answered: its final word on what was asked.
type problem struct {
	status  int
	code    string
	message string
}

func (p *problem) Error() string {
	return strings.TrimRight(fmt.Sprintf("%d %s: %s", p.status, p.code, p.message), ": ")
}

// The codes that are told apart.
const (
	codeConflict = "CONFLICT"
	codeDuration = "QUALITY_ON_DEMAND.DURATION_OUT_OF_RANGE"
	codeToken    = "NO_TOKEN" // our own: the token endpoint has refused
)

// Bounds of what is kept of an operator's error. It goes into the database and to people.
const (
	maxCode    = 64
	maxMessage = 120
)

// decodeProblem reads an error's body. What makes no sense is left out: the status says enough.
func decodeProblem(status int, body []byte) *problem {
	var e struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil {
		return &problem{status: status}
	}
	return &problem{status, printable(e.Code, maxCode), printable(e.Message, maxMessage)}
}

// printable keeps ASCII that can be printed: foreign text must not control a terminal or a log.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
	return s
}

// problemOf returns the operator's error, or nil if err is another one.
func problemOf(err error) *problem {
	p, _ := errors.AsType[*problem](err)
	return p
}

func (p *problem) is(status int) bool    { return p != nil && p.status == status }
func (p *problem) says(code string) bool { return p != nil && p.code == code }

// refusal makes an outcome of what the operator will not do. Other errors are the broker's: it asks again.
func refusal(err error) (element.Outcome, error) {
	p := problemOf(err)
	if p == nil {
		return element.Outcome{}, err
	}
	return element.Outcome{State: qos.Refused, Reason: p.reason(), Detail: p.Error()}, nil
}

// reason tells what is wrong with us (credentials, a malformed request) from what the operator does not grant.
func (p *problem) reason() qos.Reason {
	switch {
	case p.status == http.StatusUnauthorized, p.status == http.StatusForbidden:
		return qos.Failed
	case p.status == http.StatusBadRequest && p.code != codeDuration:
		return qos.Failed
	}
	return qos.ByElement
}

func refused(detail string) element.Outcome {
	return element.Outcome{State: qos.Refused, Reason: qos.ByElement, Detail: detail}
}
