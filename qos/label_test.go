package qos_test

import (
	"encoding/base32"
	"errors"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

// enc is base32hex in lower case, by the standard library.
func enc(octets string) string {
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(octets)))
}

const sixteen = "0123456789abcdef"

var thirtySix = "\x01" + strings.Repeat("s", 35)

// with is an Asked, made by the changes.
func with(changes ...func(*qos.Asked)) (a qos.Asked) {
	for _, change := range changes {
		change(&a)
	}
	return a
}

func level(name string) func(*qos.Asked) { return func(a *qos.Asked) { a.Level = name } }

func handle(octets string) func(*qos.Asked) {
	return func(a *qos.Asked) { a.HandleLen = uint8(copy(a.Handle[:], octets)) }
}

func client(id string) func(*qos.Asked) {
	return func(a *qos.Asked) { a.Client, a.HasClient = qos.Client(qos.KindID, id), true }
}

func needs(n qos.Needs) func(*qos.Asked) {
	return func(a *qos.Asked) { a.Needs, a.HasNeeds, a.Duration = n, true, n.Duration }
}

func TestStripLabels(t *testing.T) {
	const www = "www.example.org."
	all := with(level("gold"), client("alice"), handle(sixteen))
	h, h36, c := "_h-"+enc(sixteen)+".", "_h-"+enc(thirtySix)+".", "_c-"+enc("alice")+"."
	for _, row := range []struct {
		name, rest string
		grant      bool
		want       qos.Asked
	}{
		{name: www, rest: www},
		{name: ".", rest: "."},
		{name: "org.", rest: "org."},
		{name: "", rest: ""},
		{name: "_q-gold." + www, rest: www, want: with(level("gold"))},
		{name: "_q-r." + www, rest: www, want: with(level("r"))},
		{name: "_q-rr-d20." + www, rest: www, want: with(level("rr-d20"))},
		{name: "_q-" + strings.Repeat("a", 32) + "." + www, rest: www, want: with(level(strings.Repeat("a", 32)))},
		{name: "_q-r-d20-n8000." + www, rest: www, want: with(needs(qos.Needs{Delay: 20, Down: 8000}))},
		{name: "_q-r-t600-u1-l3-j4." + www, rest: www, want: with(needs(qos.Needs{Duration: 600, Up: 1, Loss: 3, Jitter: 4}))},
		{name: h + www, rest: www, want: with(handle(sixteen))},
		{name: h36 + www, rest: www, want: with(handle(thirtySix))},
		{name: c + www, rest: www, want: with(client("alice"))},
		{name: "_c-" + enc(strings.Repeat("c", 37)) + "." + www, rest: www, want: with(client(strings.Repeat("c", 37)))},

		// in any order
		{name: "_q-gold." + c + h + www, rest: www, want: all},
		{name: "_q-gold." + h + c + www, rest: www, want: all},
		{name: h + c + "_q-gold." + www, rest: www, want: all},
		{name: c + "_q-gold." + h + www, rest: www, want: all},

		// around a type of service
		{name: "_http._tcp." + www, rest: "_http._tcp." + www},
		{name: "_8443._https._q-gold." + c + h + www, rest: "_8443._https." + www, want: all},
		{name: "_q-gold._http._tcp." + www, rest: "_http._tcp." + www, want: with(level("gold"))},
		{name: "_q-gold._http._tcp." + c + h + www, rest: "_http._tcp." + www, want: all},
		{name: "_a._b._c._q-gold." + www, rest: "_a._b._c._q-gold." + www},
		{name: "_q-gold._a._b._c." + www, rest: "_a._b._c." + www, want: with(level("gold"))},
		{name: "_http._tcp.", rest: "_http._tcp."},

		// _grant
		{name: "_grant." + www, rest: www, grant: true},
		{name: "_grant._q-gold." + www, rest: www, grant: true, want: with(level("gold"))},
		{name: "_grant._8443._https._q-gold." + www, rest: "_8443._https." + www, grant: true, want: with(level("gold"))},
		{name: "_q-gold._grant." + www, rest: "_grant." + www, want: with(level("gold"))},
		{name: "_grants." + www, rest: "_grants." + www},

		// no service is left
		{name: "_q-gold.", rest: ".", want: with(level("gold"))},
		{name: "_grant.", rest: ".", grant: true},
		{name: "_http._q-gold.", rest: "_http.", want: with(level("gold"))},

		// not in front, or not ours
		{name: "www._q-gold.example.org.", rest: "www._q-gold.example.org."},
		{name: "q-gold." + www, rest: "q-gold." + www},
		{name: "_x-gold." + www, rest: "_x-gold." + www},
		{name: "_qgold." + www, rest: "_qgold." + www},
		{name: `_http\.x._q-gold.` + www, rest: `_http\.x._q-gold.` + www},
		{name: "_q-gold" + www[3:], rest: "example.org.", want: with(level("gold"))},

		// the one-label form
		{name: "farm-" + enc("\x04\x04gold\x03\x10"+sixteen) + "." + www, rest: www, want: with(level("gold"), handle(sixteen))},
		{name: "farm-" + enc("\x03\x10"+sixteen+"\x02\x05alice") + "._q-gold." + www, rest: www, want: all},
		{name: "_8443._https.farm-" + enc("\x04\x04gold") + "." + www, rest: "_8443._https." + www, want: with(level("gold"))},
		{name: "farm-" + enc("\x04\x04gold\x50\x00") + "." + www, rest: www,
			want: with(level("gold"), func(a *qos.Asked) { a.Unknown = 0x50 })},
		{name: "farm-1." + www, rest: "farm-1." + www},
		{name: "farm-." + www, rest: "farm-." + www},
		{name: "farm-zz." + www, rest: "farm-zz." + www},
		{name: "farm-00." + www, rest: "farm-00." + www},
		{name: "farm-0000." + www, rest: "farm-0000." + www},
		{name: "farm-berlin." + www, rest: "farm-berlin." + www},
		{name: "farm-" + enc("\x04\x05gold") + "." + www, rest: "farm-" + enc("\x04\x05gold") + "." + www},
		{name: "farm-" + enc("\x04\x04gold\x04\x04gold") + "." + www, rest: "farm-" + enc("\x04\x04gold\x04\x04gold") + "." + www},
		{name: "farm-" + enc("\x50\x04gold") + "." + www, rest: "farm-" + enc("\x50\x04gold") + "." + www},
		{name: "farm-", rest: "farm-"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var a qos.Asked
			rest, grant, err := qos.StripLabels(row.name, &a)
			if err != nil || rest != row.rest || grant != row.grant {
				t.Errorf("got %q, %v, %v, want %q, %v", rest, grant, err, row.rest, row.grant)
			}
			if a != row.want {
				t.Errorf("got %+v, want %+v", a, row.want)
			}
		})
	}
}

// TestStripLabelsErrors: what is wrong entitles to nothing, and the service is found all the same.
func TestStripLabelsErrors(t *testing.T) {
	h := "_h-" + enc(sixteen) + "."
	ldh := "farm-" + enc("\x04\x04gold") + "."
	text := enc(sixteen)
	spare := "_h-" + text[:25] + string(text[25]+1) + "." // the same octets, and another bit after them
	for _, row := range []struct {
		labels string
		want   error
	}{
		{"_q-gold._q-silver.", qos.ErrDuplicate},
		{"_q-gold._q-gold.", qos.ErrDuplicate},
		{"_q-gold._q-r-d20.", qos.ErrDuplicate},
		{h + h, qos.ErrDuplicate},
		{"_c-00._c-00.", qos.ErrDuplicate},
		{"_q-gold." + ldh, qos.ErrDuplicate},
		{ldh + "_q-gold.", qos.ErrDuplicate},
		{ldh + ldh, qos.ErrDuplicate},
		{"_q-gold._http._tcp._q-gold.", qos.ErrDuplicate},
		{"_q-.", qos.ErrLabel},
		{"_q--gold.", qos.ErrLabel},
		{"_q-go_ld.", qos.ErrLabel},
		{"_q-GOLD.", qos.ErrLabel}, // whoever calls folds case first
		{"_q-" + strings.Repeat("a", 33) + ".", qos.ErrLabel},
		{"_q-r-.", qos.ErrLabel},
		{"_q-r-d.", qos.ErrLabel},
		{"_q-r-d0.", qos.ErrLabel},
		{"_q-r-d020.", qos.ErrLabel},
		{"_q-r-d20-.", qos.ErrLabel},
		{"_q-r-d20-d30.", qos.ErrLabel},
		{"_q-r-d65536.", qos.ErrLabel},
		{"_q-r-u4294967296.", qos.ErrLabel},
		{"_q-r-u99999999999999999999999.", qos.ErrLabel},
		{"_q-r-x1.", qos.ErrLabel},
		{"_q-r-d-20.", qos.ErrLabel},
		{"_q-r-l256.", qos.ErrLabel},
		{"_h-.", qos.ErrLabel},
		{"_h-0.", qos.ErrLabel},
		{"_h-" + enc(sixteen[1:]) + ".", qos.ErrLabel},
		{"_h-" + enc(sixteen+"x") + ".", qos.ErrLabel},
		{"_h-" + enc(thirtySix[1:]) + ".", qos.ErrLabel},
		{"_h-" + enc(thirtySix+"x") + ".", qos.ErrLabel},
		{"_h-" + strings.ToUpper(enc(sixteen)) + ".", qos.ErrLabel},
		{"_h-" + enc(sixteen) + "=.", qos.ErrLabel},
		{spare, qos.ErrLabel},
		{"_c-.", qos.ErrLabel},
		{"_c-w.", qos.ErrLabel},
		{"_c-" + enc(strings.Repeat("c", 38)) + ".", qos.ErrLabel},
		{"_q-._q-gold." + h, qos.ErrLabel},
		{h + "_q-gold._q-gold._h-x.", qos.ErrDuplicate},
	} {
		t.Run(row.labels, func(t *testing.T) {
			before := with(level("silver"))
			a := before
			rest, _, err := qos.StripLabels(row.labels+"www.example.org.", &a)
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if want := "www.example.org."; rest != want && rest != "_http._tcp."+want {
				t.Errorf("rest %q", rest)
			}
			if a != before {
				t.Errorf("it was taken for %+v", a)
			}
		})
	}
}

func TestAppendLabels(t *testing.T) {
	all := with(level("gold"), handle(thirtySix))
	got, err := qos.AppendLabels([]byte("_8443._https."), &all, []byte("alice"))
	if want := "_8443._https._q-gold._c-" + enc("alice") + "._h-" + enc(thirtySix) + "."; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := qos.AppendLabels(nil, &qos.Asked{}, nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %q, %v", got, err)
	}
	if _, err := qos.AppendLabels(nil, &all, make([]byte, 38)); err == nil {
		t.Error("a client id of 38 octets is taken")
	}
	figures := with(needs(qos.Needs{Up: 1, Down: 2, Delay: 3, Jitter: 4, Loss: 5, Duration: 6}))
	if got, _ := qos.AppendLabels(nil, &figures, nil); string(got) != "_q-r-d3-j4-l5-n2-t6-u1." {
		t.Errorf("needs: %q", got)
	}
}

func TestAppendLDH(t *testing.T) {
	a := with(level("gold"), handle(sixteen), func(a *qos.Asked) { a.Duration = 60 })
	label, err := qos.AppendLDH(nil, &a, []byte("al"))
	if err != nil || len(label) > 64 {
		t.Fatalf("%q, %v", label, err)
	}
	var back qos.Asked
	rest, _, err := qos.StripLabels(string(label)+"www.example.org.", &back)
	a.Client, a.HasClient = qos.Client(qos.KindID, "al"), true
	if err != nil || rest != "www.example.org." || back != a {
		t.Errorf("got %q, %+v, %v, want %+v", rest, back, err, a)
	}
	signed := with(handle(thirtySix))
	for _, c := range []*qos.Asked{{}, &signed} {
		if got, err := qos.AppendLDH(nil, c, nil); err == nil {
			t.Errorf("%+v is %q", c, got)
		}
	}
}

// FuzzStripLabels: what is read is what the labels say that it is written as, and what is left is of the name.
func FuzzStripLabels(f *testing.F) {
	h := "_h-" + enc(sixteen) + "."
	for _, name := range []string{
		"www.example.org.", "_q-gold._c-" + enc("alice") + "." + h + "www.example.org.", "_8443._https._q-r-d20-n8000-t600.www.example.org.",
		"_grant._http._tcp." + "_h-" + enc(thirtySix) + ".www.", "farm-" + enc("\x04\x04gold\x03\x10"+sixteen) + ".www.example.org.",
		h + h + "www.", "_q-._c-1.", `_a\.b._q-gold.c.`, "_a._q-b._c._d._h-.", "farm-" + enc("\x05\x0e01234567890123\x07\x04abcd") + ".x.",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		var a qos.Asked
		rest, _, err := qos.StripLabels(name, &a)
		if len(rest) > len(name)+1 {
			t.Fatalf("%q: rest %q", name, rest)
		}
		if err != nil || a == (qos.Asked{}) {
			if a != (qos.Asked{}) {
				t.Fatalf("%q: %v, and %+v", name, err, a)
			}
			return
		}
		a.Client, a.HasClient = qos.ClientID{}, false // what it was made of is not known
		a.Unknown = 0
		sameByOption(t, a)
		sameByLabels(t, a)
	})
}

// sameByLabels writes and reads what labels can say of a.
func sameByLabels(t *testing.T, a qos.Asked) {
	if a.Level != "" || a.Needs == (qos.Needs{}) {
		a.Needs, a.HasNeeds = qos.Needs{}, false
	}
	a = qos.Asked{Level: a.Level, Needs: a.Needs, HasNeeds: a.HasNeeds, Handle: a.Handle, HandleLen: a.HandleLen, Duration: a.Needs.Duration}
	labels, err := qos.AppendLabels(nil, &a, nil)
	if err != nil {
		t.Fatal(err)
	}
	var back qos.Asked
	if rest, _, err := qos.StripLabels(string(labels)+"a.", &back); err != nil || rest != "a." || back != a {
		t.Fatalf("%s: got %+v, rest %q, %v, want %+v", labels, back, rest, err, a)
	}
}
