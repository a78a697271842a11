package qos_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

var update = flag.Bool("update", false, "write the test vectors anew")

const vectorsFile = "testdata/vectors.json"

// vectors are what another implementation can check itself against. Octets are hexadecimal digits.
type vectors struct {
	Key      vectorKey      `json:"key"`
	Clients  []vectorClient `json:"clients"`
	Handles  []vectorHandle `json:"signed_handles"`
	LookedUp []vectorHandle `json:"looked_up_handles"`
	Names    []vectorName   `json:"names"`
	Options  []vectorOption `json:"options"`
	Replies  []vectorReply  `json:"replies"`
}

type vectorKey struct {
	ID     uint8  `json:"id"`
	Secret string `json:"secret"`
}

// vectorClient is SHA-256(kind, 0, name)[:8].
type vectorClient struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	ID   string `json:"id"`
}

// vectorHandle is a handle in its three forms, and what it says if it is signed.
type vectorHandle struct {
	Service string `json:"service,omitempty"`
	Client  string `json:"client,omitempty"`
	Rank    uint8  `json:"rank,omitempty"`
	Minutes int64  `json:"expires_minutes,omitempty"`
	Bearer  bool   `json:"bearer,omitempty"`
	Bound   bool   `json:"bound,omitempty"`
	Octets  string `json:"octets"`
	Label   string `json:"label"`
	ID      string `json:"handle_id"`
}

type vectorName struct {
	Name  string       `json:"name"`
	Rest  string       `json:"rest,omitempty"`
	Grant bool         `json:"grant,omitempty"`
	Error string       `json:"error,omitempty"` // duplicate or label
	Asks  *vectorAsked `json:"asks,omitempty"`
}

type vectorOption struct {
	Data  string       `json:"data"`
	Error string       `json:"error,omitempty"` // option or version
	Asks  *vectorAsked `json:"asks,omitempty"`
}

type vectorAsked struct {
	Level    string `json:"level,omitempty"`
	Needs    string `json:"needs,omitempty"`
	Handle   string `json:"handle,omitempty"`
	Client   string `json:"client,omitempty"`
	Duration uint32 `json:"duration,omitempty"`
	Wait     bool   `json:"wait,omitempty"`
}

type vectorReply struct {
	Data   string `json:"data"`
	State  string `json:"state"`
	Grant  string `json:"grant,omitempty"`
	Level  string `json:"level,omitempty"`
	Left   uint32 `json:"left,omitempty"`
	DSCP   uint8  `json:"dscp,omitempty"`
	Server string `json:"server,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// TestVectors: the file holds what the code makes of its cases.
func TestVectors(t *testing.T) {
	got, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(vectorsFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not hold what the code makes (go test ./qos -update writes it anew):\n%s", vectorsFile, got)
	}
}

func makeVectors(t *testing.T) vectors {
	k := ringOf(t, qos.Key{ID: 7, Secret: secret})
	v := vectors{Key: vectorKey{7, hex.EncodeToString(secret)}}
	for _, c := range [][2]string{
		{qos.KindID, "alice"}, {qos.KindTSIG, "key.example.org."}, {qos.KindCert, "alice"}, {qos.KindNet, "192.0.2.7/32"}, {qos.KindNet, "2001:db8::/64"},
	} {
		v.Clients = append(v.Clients, vectorClient{c[0], c[1], qos.Client(c[0], c[1]).String()})
	}
	at, _ := qos.ClientAt(home)
	v.Handles = []vectorHandle{
		signedVector(t, k, video, qos.Claim{Client: alice}),
		signedVector(t, k, video, qos.Claim{Client: alice, Bearer: true}),
		signedVector(t, k, video, qos.Claim{Client: at, Bound: true}),
		signedVector(t, k, qos.AnyService, qos.Claim{Client: alice}),
	}
	v.LookedUp = []vectorHandle{formsOf([]byte(sixteen))}
	token, err := hex.DecodeString(v.Handles[0].Octets)
	if err != nil {
		t.Fatal(err)
	}
	v.Names = nameVectors(v.Handles[0].Label, token)
	v.Options = optionVectors(token)
	v.Replies = replyVectors()
	return v
}

func signedVector(t *testing.T, k *qos.Keyring, service string, c qos.Claim) vectorHandle {
	c.Rank, c.Expires, c.KeyID, c.Service = 3, end, 7, qos.ServiceHash(service)
	v := formsOf(sign(t, k, c))
	v.Service, v.Client, v.Rank, v.Minutes, v.Bearer, v.Bound = service, c.Client.String(), c.Rank, end/60_000, c.Bearer, c.Bound
	return v
}

// formsOf writes a handle's octets in each of their forms.
func formsOf(octets []byte) vectorHandle {
	return vectorHandle{Octets: hex.EncodeToString(octets), Label: "_h-" + enc(string(octets)), ID: qos.HandleOf(octets).String()}
}

func nameVectors(handle string, token []byte) (list []vectorName) {
	ldh := "farm-" + enc("\x02\x05alice\x03\x10"+sixteen+"\x04\x04gold")
	for _, name := range []string{
		video,
		"_q-gold._c-c5m6ior5." + handle + "." + video,
		"_8443._https." + handle + "._c-c5m6ior5." + video,
		"_grant._q-r-d20-n8000-t600." + video,
		ldh + "." + video,
		"farm-1." + video,
		"_q-gold._q-gold." + video,
		"_q-." + video,
		handle[:60] + "." + video,
	} {
		var a qos.Asked
		rest, grant, err := qos.StripLabels(name, &a)
		v := vectorName{Name: name, Rest: rest, Grant: grant, Asks: askedVector(&a)}
		switch err {
		case qos.ErrDuplicate:
			v.Error = "duplicate"
		case qos.ErrLabel:
			v.Error = "label"
		}
		list = append(list, v)
	}
	return list
}

func optionVectors(token []byte) (list []vectorOption) {
	for _, data := range []string{
		"\x01\x01\x02\x05alice\x03\x24" + string(token) + "\x04\x04gold\x07\x04\x00\x00\x02\x58",
		"\x01\x00\x05\x0e\x00\x00\x00\x00\x00\x00\x1f\x40\x00\x14\x00\x00\x00\x00",
		"\x01\x00\x01\x05video\x02\x05alice\x04\x05QOS_E\x07\x04\x00\x00\x02\x58",
		"\x01\x00\x04\x05gold",
		"\x01\x00\x04\x04gold\x04\x04gold",
		"\x02\x00",
	} {
		var a qos.Asked
		v := vectorOption{Data: hex.EncodeToString([]byte(data))}
		switch qos.ParseOption([]byte(data), &a) {
		case qos.ErrOption:
			v.Error = "option"
		case qos.ErrVersion:
			v.Error = "version"
		}
		v.Asks = askedVector(&a)
		list = append(list, v)
	}
	return list
}

// askedVector is nil of an Asked that asks for nothing.
func askedVector(a *qos.Asked) *vectorAsked {
	if *a == (qos.Asked{}) {
		return nil
	}
	v := &vectorAsked{
		Level: a.Level, Needs: a.Needs.String(), Handle: hex.EncodeToString(a.Handle[:a.HandleLen]), Duration: a.Duration, Wait: a.Wait,
	}
	if a.HasClient {
		v.Client = a.Client.String()
	}
	return v
}

func replyVectors() (list []vectorReply) {
	id := qos.GrantID([]byte(sixteen))
	for _, s := range []qos.Shown{
		{State: qos.Requested, Grant: id, Level: "gold", Left: 60, Server: "web1"},
		{State: qos.Granted, Grant: id, Level: "gold", Left: 600, DSCP: 46, HasDSCP: true, Server: "web1"},
		{State: qos.Refused, Grant: id, Level: "gold", Server: "web1", Reason: qos.ByElement},
	} {
		v := vectorReply{
			Data: hex.EncodeToString(qos.AppendReply(nil, s)), State: s.State.String(), Grant: s.Grant.String(), Level: s.Level,
			Left: s.Left, DSCP: s.DSCP, Server: s.Server, Reason: s.Reason.String(),
		}
		list = append(list, v)
	}
	return list
}

// TestVectorsHold: the signed handles of the file hold by the standard library's HMAC as they do by ours.
func TestVectorsHold(t *testing.T) {
	var v vectors
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(v.Key.Secret)
	if err != nil {
		t.Fatal(err)
	}
	k := ringOf(t, qos.Key{ID: v.Key.ID, Secret: key})
	for _, h := range v.Handles {
		octets, err := hex.DecodeString(h.Octets)
		if err != nil || !bytes.Equal(octets, forge(octets, key)) {
			t.Errorf("%s: another signature, or %v", h.Octets, err)
			continue
		}
		c, err := k.Verify(octets, h.Minutes*60_000-1)
		if err != nil || c.Client.String() != h.Client || c.Rank != h.Rank || c.Bearer != h.Bearer || c.Bound != h.Bound ||
			c.Service != qos.ServiceHash(h.Service) || c.ID.String() != h.ID || c.Expires != h.Minutes*60_000 {
			t.Errorf("%s: says %+v, %v", h.Octets, c, err)
		}
	}
}
