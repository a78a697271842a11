package qos

import (
	"errors"
	"fmt"
	"strings"
)

// What is wrong with labels. Whoever gives them is to be answered as one who gave none.
var (
	ErrDuplicate = errors.New("label: expected each kind of parameter once")
	ErrLabel     = errors.New("label: expected _q-LEVEL, _q-r-NEEDS, _h-HANDLE or _c-CLIENT")
)

const (
	grantLabel = "_grant."
	levelLabel = "_q-"
	needsLabel = "_q-r-"
	showLabel  = "_h-"
	idLabel    = "_c-"
	ldhLabel   = "farm-"

	maxID   = 37 // octets of a client id in a label
	maxLDH  = 36 // octets of the one-label form
	maxType = 2  // labels of a type of service: _8443._https, _http._tcp
)

// StripLabels reads the parameters that stand as labels before the name of a service, and takes them off. name is a
// lower-case FQDN in presentation form. A type of service (_http._tcp) may stand before, after or among them, and stays in
// rest; a leading _grant is taken off and told. What is read is put into a, in the place of what stood there; without
// parameters, and with an error, a is left alone. With an error rest is as if the parameters were right.
//
// The one-label form is farm- and base32hex of the option's TLVs. A label that begins with farm- and holds no such thing
// is a name like any other. Who has a service of that very name need not ask.
//
// It allocates nothing, unless a type of service stands before a parameter: then rest is put together anew.
func StripLabels(name string, a *Asked) (rest string, grant bool, err error) {
	if !MayHaveLabels(name) {
		return name, false, nil
	}
	rest, grant = strings.CutPrefix(name, grantLabel)
	var s labels
	rest = s.strip(rest)
	if s.err == nil && s.seen != 0 {
		*a = s.asked
	}
	return rest, grant, s.err
}

// MayHaveLabels reports whether a name begins as one with parameters does.
func MayHaveLabels(name string) bool {
	return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ldhLabel)
}

// labels is how far the reading of a name has come.
type labels struct {
	asked Asked
	seen  uint16 // a bit for each type of TLV that a label stood for
	err   error  // the first one
}

// strip takes the parameters off the front of name, around what says the type of service.
func (s *labels) strip(name string) string {
	name = s.params(name)
	head := typeOf(name)
	after := name[len(head):]
	tail := s.params(after)
	switch {
	case len(tail) < len(after) && head != "":
		return head + tail
	case name == "":
		return "."
	}
	return name
}

// params takes the parameters off the front of name, as far as nothing else stands between.
func (s *labels) params(name string) string {
	for {
		label, ok := first(name)
		if !ok || !s.take(label) {
			return name
		}
		name = name[len(label)+1:]
	}
}

// typeOf returns the labels in front of name that say a type of service, with their dots.
func typeOf(name string) string {
	n := 0
	for range maxType {
		label, ok := first(name[n:])
		if !ok || !strings.HasPrefix(label, "_") || isParam(label) {
			break
		}
		n += len(label) + 1
	}
	return name[:n]
}

// first returns the first label of a name, if nothing in it is escaped: in no label of ours anything is.
func first(name string) (label string, ok bool) {
	end := strings.IndexAny(name, `.\`)
	if end < 0 || name[end] != '.' {
		return "", false
	}
	return name[:end], true
}

func isParam(label string) bool {
	return strings.HasPrefix(label, levelLabel) || strings.HasPrefix(label, showLabel) || strings.HasPrefix(label, idLabel)
}

// take reads one label, if it is a parameter.
func (s *labels) take(label string) bool {
	var buf [maxID]byte
	switch {
	case strings.HasPrefix(label, ldhLabel):
		return s.takeLDH(label[len(ldhLabel):])
	case strings.HasPrefix(label, needsLabel):
		n, ok := parseNeeds(label[len(needsLabel):])
		s.asked.Needs, s.asked.HasNeeds, s.asked.Duration = n, true, n.Duration
		s.note(1<<tlvLevel|1<<tlvNeeds, ok)
	case strings.HasPrefix(label, levelLabel):
		s.note(1<<tlvLevel|1<<tlvNeeds, s.asked.setLevel(label[len(levelLabel):]))
	case strings.HasPrefix(label, showLabel):
		n, ok := unbase32(buf[:Signed], label[len(showLabel):])
		s.note(1<<tlvHandle, ok && s.asked.setHandle(buf[:n]))
	case strings.HasPrefix(label, idLabel):
		n, ok := unbase32(buf[:], label[len(idLabel):])
		s.note(1<<tlvClient, ok && s.asked.setClient(buf[:n]))
	default:
		return false
	}
	return true
}

// takeLDH reads the one-label form; false if it is none.
func (s *labels) takeLDH(text string) bool {
	var buf [maxLDH]byte
	n, ok := unbase32(buf[:], text)
	if !ok {
		return false
	}
	asked := s.asked
	types, ok := parseTLVs(buf[:n], &asked)
	if !ok || types == 0 {
		return false
	}
	s.note(types, true)
	s.asked = asked
	return true
}

// note keeps that a label stood for types of TLVs, and what is wrong with it.
func (s *labels) note(types uint16, ok bool) {
	switch {
	case s.err != nil:
	case s.seen&types != 0:
		s.err = ErrDuplicate
	case !ok:
		s.err = ErrLabel
	}
	s.seen |= types
}

// AppendLabels appends the labels that say what a asks for, each with its dot, to a name in the making: level or needs, handle, and
// the client id. What a asks beyond that has no label. client is the client id, at most 37 octets; nil is none.
func AppendLabels(b []byte, a *Asked, client []byte) ([]byte, error) {
	if len(client) > maxID {
		return nil, fmt.Errorf("client id: expected at most %d octets in a label, got %d", maxID, len(client))
	}
	if a.Level != "" {
		b = append(append(append(b, levelLabel...), a.Level...), '.')
	} else if a.HasNeeds {
		b = append(a.Needs.appendTo(append(b, needsLabel...)), '.')
	}
	if len(client) > 0 {
		b = append(base32hex.AppendEncode(append(b, idLabel...), client), '.')
	}
	if a.HandleLen > 0 {
		b = append(base32hex.AppendEncode(append(b, showLabel...), a.Handle[:a.HandleLen]), '.')
	}
	return b, nil
}

// AppendLDH appends the one-label form of what a asks for, with its dot: all that the option can say but for flags, in at
// most 36 octets. A signed handle is too long for it.
func AppendLDH(b []byte, a *Asked, client []byte) ([]byte, error) {
	tlvs := appendTLVs(nil, a, client)
	if len(tlvs) == 0 || len(tlvs) > maxLDH {
		return nil, fmt.Errorf("one-label form: expected 1 to %d octets, got %d", maxLDH, len(tlvs))
	}
	return append(base32hex.AppendEncode(append(b, ldhLabel...), tlvs), '.'), nil
}
