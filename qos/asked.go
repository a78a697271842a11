package qos

import "net/netip"

// Asked is what a lookup says about quality of service: in labels (StripLabels) or in the EDNS0 option (ParseOption).
// Nothing of it is verified. The zero Asked asks for nothing.
type Asked struct {
	Level    string // by name; empty is none. It is preferred to Needs
	Needs    Needs  // what a level must promise
	HasNeeds bool

	Handle    [36]byte // the first HandleLen octets
	HandleLen uint8    // 0 is none, LookedUp or Signed
	Client    ClientID // of the client id that is shown, of KindID
	HasClient bool

	RequestID    [16]byte // names the request, so that it is made once
	HasRequestID bool
	Duration     uint32         // s; 0 is as the level says
	Device       netip.AddrPort // the client, where the source is not its address; port 0 is not known
	Release      [16]byte       // the grant to renew or, with Drop, to give back
	HasRelease   bool

	Wait    bool  // hold the answer, for a bounded time, until the request is answered
	NoGrant bool  // choose a server for the level, and make no request
	Dry     bool  // say what would be granted
	Drop    bool  // Release is given back
	Unknown uint8 // type of what must be understood and is not; 0 is none
}

// Lengths of handles in octets.
const (
	LookedUp = 16
	Signed   = 36
)

// setLevel keeps the name of a level, if it can be one.
func (a *Asked) setLevel(name string) bool {
	a.Level = name
	return isLevel(name)
}

// setHandle copies a handle, if it has the length of one.
func (a *Asked) setHandle(octets []byte) bool {
	a.HandleLen = uint8(len(octets))
	copy(a.Handle[:], octets)
	return len(octets) == LookedUp || len(octets) == Signed
}

// setClient keeps the ClientID of a client id.
func (a *Asked) setClient(id []byte) bool {
	a.Client, a.HasClient = clientOf(KindID, id), true
	return len(id) > 0
}

// maxLevel is how long the name of a level may be.
const maxLevel = 32

// isLevel says whether name is [a-z0-9][a-z0-9-]{0,31}.
func isLevel(name string) bool {
	if name == "" || len(name) > maxLevel || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
