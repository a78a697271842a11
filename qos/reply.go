package qos

import "encoding/binary"

// Shown is what a client is told of its grant, in the EDNS0 option of the answer. Zero fields other than State are not
// said.
type Shown struct {
	State   State
	Grant   GrantID
	Level   string // that is granted, or asked for
	Left    uint32 // s until the grant ends, or the request
	DSCP    uint8  // what the client marks its packets with
	HasDSCP bool
	Server  string // id of the server
	Reason  Reason // of a refusal, or an end
}

// The types of TLVs in a reply.
const (
	tlvState      = 0x81 // State (1)
	tlvGrant      = 0x82 // grant id (16)
	tlvShownLevel = 0x83 // name of the level
	tlvLeft       = 0x84 // s (4)
	tlvDSCP       = 0x85 // DSCP (1)
	tlvServer     = 0x86 // id of the server
	tlvReason     = 0x87 // Reason (1)
)

// AppendReply appends the data of the EDNS0 option of an answer: version, no flags, TLVs. Names are cut at 255 octets.
func AppendReply(b []byte, s Shown) []byte {
	b = append(b, version, 0, tlvState, 1, byte(s.State))
	if s.Grant != (GrantID{}) {
		b = appendTLV(b, tlvGrant, s.Grant[:])
	}
	b = appendText(b, tlvShownLevel, s.Level)
	if s.Left > 0 {
		b = binary.BigEndian.AppendUint32(append(b, tlvLeft, 4), s.Left)
	}
	if s.HasDSCP {
		b = append(b, tlvDSCP, 1, s.DSCP)
	}
	b = appendText(b, tlvServer, s.Server)
	if s.Reason != NoReason {
		b = append(b, tlvReason, 1, byte(s.Reason))
	}
	return b
}

func appendText(b []byte, kind byte, text string) []byte {
	if text == "" {
		return b
	}
	text = text[:min(len(text), 255)]
	return append(append(b, kind, byte(len(text))), text...)
}

// ParseReply is the inverse of AppendReply, for clients and tests. Types that are not known are passed over.
func ParseReply(data []byte) (s Shown, err error) {
	if len(data) > 0 && data[0] != version {
		return s, ErrVersion
	}
	if len(data) < 2 || len(data) > 1024 {
		return s, ErrOption
	}
	var types byte
	for data = data[2:]; len(data) > 0; {
		kind, value, rest, ok := cutTLV(data)
		if !ok {
			return Shown{}, ErrOption
		}
		if data = rest; kind < tlvState || kind > tlvReason {
			continue
		}
		bit := byte(1) << (kind - tlvState)
		if types&bit != 0 || !s.setTLV(kind, value) {
			return Shown{}, ErrOption
		}
		types |= bit
	}
	return s, nil
}

// setTLV keeps a value of a known type; false if it cannot be one.
func (s *Shown) setTLV(kind byte, v []byte) bool {
	switch kind {
	case tlvGrant:
		return copy(s.Grant[:], v) == len(v) && len(v) == len(s.Grant)
	case tlvShownLevel:
		s.Level = string(v)
		return isLevel(s.Level)
	case tlvLeft:
		if len(v) != 4 {
			return false
		}
		s.Left = binary.BigEndian.Uint32(v)
		return true
	case tlvServer:
		s.Server = string(v)
		return len(v) > 0
	}
	return len(v) == 1 && s.setOctet(kind, v[0])
}

func (s *Shown) setOctet(kind, v byte) bool {
	switch kind {
	case tlvState:
		s.State = State(v)
		return s.State <= Ended
	case tlvDSCP:
		s.DSCP, s.HasDSCP = v, true
		return v <= 63
	}
	s.Reason = Reason(v)
	return true
}
