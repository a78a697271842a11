package qos

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unicode/utf8"
)

// OptionCode is the EDNS0 option's usual code, of those for local use (RFC 6891).
const OptionCode = 65400

// What is wrong with an option.
var (
	ErrOption  = errors.New("option: expected flags and whole TLVs, each once, in at most 512 octets")
	ErrVersion = errors.New("option: expected version 1") // another version, or none of ours at all
)

const (
	version   = 1
	maxOption = 512
)

// The flags of a request.
const (
	flagWait = 1 << iota
	flagNoGrant
	flagDry
	flagDrop
)

// The types of TLVs in a request. From mustKnow to mustEnd, what is not known must not be passed over.
const (
	tlvType      = 1 // type of service, UTF-8
	tlvClient    = 2 // client id, octets
	tlvHandle    = 3 // 16 or 36 octets
	tlvLevel     = 4 // name of a level
	tlvNeeds     = 5 // kbit/s up (4), down (4), ms of delay (2), of jitter (2), exponent of loss (1), priority (1)
	tlvRequestID = 6 // 16 octets
	tlvDuration  = 7 // s (4)
	tlvDevice    = 8 // family as of ECS (1), address (4 or 16), port (2)
	tlvRelease   = 9 // grant id (16)
	mustKnow     = 0x40
	mustEnd      = 0x80
)

// ParseOption reads the data of the EDNS0 option of a query into a: version (1), flags (1), then TLVs of type (1), length
// (1) and value, numbers in network order. What is read is put in the place of what stood in a; with an error a is left
// alone.
//
// TLV 1, the type of service, is held to its syntax and passed over: the name asked for says which service is meant. So
// is the priority in TLV 5. Flags and types below 0x40 that are not known are passed over. It allocates only for the name
// of a level.
func ParseOption(data []byte, a *Asked) error {
	if len(data) > 0 && data[0] != version {
		return ErrVersion
	}
	if len(data) < 2 || len(data) > maxOption {
		return ErrOption
	}
	var asked Asked
	if _, ok := parseTLVs(data[2:], &asked); !ok {
		return ErrOption
	}
	flags := data[1]
	asked.Wait, asked.NoGrant = flags&flagWait != 0, flags&flagNoGrant != 0
	asked.Dry, asked.Drop = flags&flagDry != 0, flags&flagDrop != 0
	*a = asked
	return nil
}

// cutTLV takes the first TLV off data.
func cutTLV(data []byte) (kind byte, value, rest []byte, ok bool) {
	if len(data) < 2 || len(data)-2 < int(data[1]) {
		return 0, nil, nil, false
	}
	end := 2 + int(data[1])
	return data[0], data[2:end], data[end:], true
}

// parseTLVs reads the TLVs of a request. types has a bit for each that is known.
func parseTLVs(data []byte, a *Asked) (types uint16, ok bool) {
	for len(data) > 0 {
		var kind byte
		var value []byte
		if kind, value, data, ok = cutTLV(data); !ok {
			return 0, false
		}
		switch {
		case kind >= mustKnow && kind < mustEnd:
			a.Unknown = kind
		case kind == 0 || kind > tlvRelease:
		case types&(1<<kind) != 0 || !a.setTLV(kind, value):
			return 0, false
		default:
			types |= 1 << kind
		}
	}
	return types, true
}

// setTLV keeps a value of a known type; false if it cannot be one.
func (a *Asked) setTLV(kind byte, v []byte) bool {
	switch kind {
	case tlvType:
		return len(v) > 0 && utf8.Valid(v)
	case tlvClient:
		return a.setClient(v)
	case tlvHandle:
		return a.setHandle(v)
	case tlvLevel:
		return len(v) <= maxLevel && a.setLevel(folded(v))
	case tlvNeeds:
		return a.setNeeds(v)
	case tlvRequestID:
		a.HasRequestID = true
		return copy(a.RequestID[:], v) == len(v) && len(v) == len(a.RequestID)
	case tlvDuration:
		if len(v) != 4 {
			return false
		}
		a.Duration = binary.BigEndian.Uint32(v)
		return true
	case tlvDevice:
		return a.setDevice(v)
	}
	a.HasRelease = true
	return copy(a.Release[:], v) == len(v) && len(v) == len(a.Release)
}

// folded returns the name of a level as labels have it. CAMARA writes its profiles otherwise: QOS_E is asked for as qos-e.
func folded(v []byte) string {
	var buf [maxLevel]byte
	for i, c := range v {
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		buf[i] = c
	}
	return string(buf[:len(v)])
}

func (a *Asked) setNeeds(v []byte) bool {
	if len(v) != 14 {
		return false
	}
	a.Needs = Needs{
		Up: binary.BigEndian.Uint32(v), Down: binary.BigEndian.Uint32(v[4:]),
		Delay: binary.BigEndian.Uint16(v[8:]), Jitter: binary.BigEndian.Uint16(v[10:]), Loss: v[12],
	}
	a.HasNeeds = true
	return true
}

// The families of addresses, as in RFC 7871.
const (
	family4 = 1
	family6 = 2
)

func (a *Asked) setDevice(v []byte) bool {
	if !(len(v) == 7 && v[0] == family4) && !(len(v) == 19 && v[0] == family6) {
		return false
	}
	addr, ok := netip.AddrFromSlice(v[1 : len(v)-2])
	a.Device = netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(v[len(v)-2:]))
	return ok
}

// AppendOption appends the data of the EDNS0 option that asks for what a asks for. client is the client id, at most 255
// octets; nil is none. It is what a client, a forwarder or a test sends.
func AppendOption(b []byte, a *Asked, client []byte) []byte {
	var flags byte
	for i, set := range []bool{a.Wait, a.NoGrant, a.Dry, a.Drop} {
		if set {
			flags |= 1 << i
		}
	}
	return appendTLVs(append(b, version, flags), a, client)
}

func appendTLVs(b []byte, a *Asked, client []byte) []byte {
	if len(client) > 0 {
		b = appendTLV(b, tlvClient, client[:min(len(client), 255)])
	}
	if a.HandleLen > 0 {
		b = appendTLV(b, tlvHandle, a.Handle[:a.HandleLen])
	}
	if a.Level != "" {
		b = appendTLV(b, tlvLevel, []byte(a.Level))
	}
	if a.HasNeeds {
		b = append(b, tlvNeeds, 14)
		b = binary.BigEndian.AppendUint32(b, a.Needs.Up)
		b = binary.BigEndian.AppendUint32(b, a.Needs.Down)
		b = binary.BigEndian.AppendUint16(b, a.Needs.Delay)
		b = binary.BigEndian.AppendUint16(b, a.Needs.Jitter)
		b = append(b, a.Needs.Loss, 0)
	}
	if a.HasRequestID {
		b = appendTLV(b, tlvRequestID, a.RequestID[:])
	}
	if a.Duration > 0 {
		b = binary.BigEndian.AppendUint32(append(b, tlvDuration, 4), a.Duration)
	}
	if a.Device.IsValid() {
		b = appendDevice(b, a.Device)
	}
	if a.HasRelease {
		b = appendTLV(b, tlvRelease, a.Release[:])
	}
	return b
}

func appendTLV(b []byte, kind byte, value []byte) []byte {
	return append(append(b, kind, byte(len(value))), value...)
}

func appendDevice(b []byte, device netip.AddrPort) []byte {
	addr := device.Addr().Unmap()
	family := byte(family6)
	if addr.Is4() {
		family = family4
	}
	octets := addr.AsSlice()
	b = append(b, tlvDevice, byte(len(octets)+3), family)
	return binary.BigEndian.AppendUint16(append(b, octets...), device.Port())
}
