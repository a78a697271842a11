package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const issueLong = `Issue a handle for a level of a service, and print it in the forms in which a client
may show it. It is not kept: who loses it is issued another one.

Say who may show it: --client ID, together with which it is shown; --address, from
where it is shown; or --bearer, for whoever has it. With --client or --bearer, an
address is where a network element finds the client.

A handle is signed with the newest key, unless it is to be looked up.`

// issuing is what is to be issued.
type issuing struct {
	service, level string
	rank           int
	client         string
	bearer         bool
	address        netip.Addr
	expires        time.Duration
	lookedUp       bool
	phone, note    string
}

func (a *app) handleIssue(file *string) *cobra.Command {
	i := issuing{expires: 24 * time.Hour}
	c := &cobra.Command{
		Use:   "issue --service SERVICE --level LEVEL --client ID [flags]",
		Short: "Issue a handle",
		Long:  issueLong,
		Example: "  farm handle issue --service www.example.org --level gold --client alice --expires 12h\n" +
			"  farm handle issue --service . --rank 30 --bearer --looked-up --note 'the control room'",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := i.check(*file); err != nil {
				return err
			}
			return a.issue(&i, *file)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.Var(name(&i.service), "service", "the service that it is for; . is every service")
	f.Var(label(&i.level), "level", "the best `LEVEL` that it entitles to")
	f.Var(absentIfZero(&i.rank, func(p *int) *value { return whole(p, 1, 255) }), "rank", "the level's rank, instead of its name")
	f.StringVar(&i.client, "client", "", "the client `ID` that is shown with it")
	f.Var(address(&i.address), "address", "the client's address")
	f.BoolVar(&i.bearer, "bearer", false, "whoever shows it is the client")
	f.Var(longDuration(&i.expires, aboveZero), "expires", "for how long it holds")
	f.BoolVar(&i.lookedUp, "looked-up", false, "a random handle that the database knows, instead of a signed one")
	f.StringVar(&i.phone, "phone", "", "the client's phone `NUMBER` (E.164), for an operator's network")
	f.StringVar(&i.note, "note", "", "a `TEXT` for people, kept in the database")
	must(c.RegisterFlagCompletionFunc("service", a.completeServices))
	return c
}

// check says whether the flags go together.
func (i *issuing) check(file string) error {
	switch {
	case i.service == "":
		return usagef("flag --service: expected SERVICE, or . for every one")
	case (i.level == "") == (i.rank == 0):
		return usagef("flags --level and --rank: expected one of them")
	case i.level != "" && i.service == qos.AnyService:
		return usagef("flag --level: expected --rank instead with --service . : levels are a service's own")
	case i.client == "" && !i.bearer && !i.address.IsValid():
		return usagef("flags --client, --address and --bearer: expected one of them: who may show it")
	case len(i.client) > 255:
		return usagef("flag --client: expected at most 255 octets")
	case i.expires < time.Minute:
		return usagef("flag --expires: expected at least 1m, signed handles keep whole minutes")
	case i.lookedUp && file != "":
		return usagef("flags --looked-up and --file: expected one of them")
	}
	return nil
}

// issued is a handle as `farm handle issue` prints it: the only time that its octets are.
type issued struct {
	handleOf
	Octets string `json:"octets"`
	Label  string `json:"label"`
	Name   string `json:"name,omitempty"` // that is looked up with it
	Option string `json:"option"`         // the data of the EDNS0 option
}

func (a *app) issue(i *issuing, file string) error {
	db, err := a.dial() // it does not connect before it is used: with a key file and a rank it need not
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := a.within()
	defer cancel()
	h, err := a.make(ctx, db, i, placeOf(file, db))
	if err != nil {
		return fromDatabase(err)
	}
	return a.print(h, h.write)
}

// make makes a handle, and writes what the database has to know of it.
func (a *app) make(ctx context.Context, db *store.Client, i *issuing, keys keyPlace) (*issued, error) {
	if i.level != "" {
		w, err := a.read(ctx, db)
		if err != nil {
			return nil, err
		}
		if i.rank, err = w.rankOf(i.service, i.level); err != nil {
			return nil, err
		}
	}
	r := i.record(time.Now())
	if err := r.Check(); err != nil {
		return nil, refusedf("%w", err)
	}
	h := &issued{handleOf: handleOf{
		Kind: lookedUp, State: valid, Service: r.Service, Level: i.level, Rank: r.Rank, Client: r.Client, Expires: moment(r.Expires),
		Address: r.Address, Phone: r.Phone, Note: r.Note,
	}}
	octets, err := i.octets(ctx, keys, r, h)
	if err != nil {
		return nil, err
	}
	if err := h.forms(octets, i); err != nil {
		return nil, err
	}
	if i.lookedUp || i.recorded() {
		err = db.PutHandle(ctx, h.ID, *r)
	}
	return h, err
}

// rankOf returns the rank of a level of a service.
func (w *world) rankOf(service, level string) (int, error) {
	f, err := w.farm(service)
	if err != nil {
		return 0, err
	}
	if l := f.Service.Level(level); l != nil {
		return int(l.Rank), nil
	}
	var names []string
	for _, l := range f.Service.Levels {
		names = append(names, l.Name)
	}
	return 0, notFoundf("no level %s at %s%s", level, service, orList(didYouMean(level, names), "farm service show "+service))
}

// bound says whether the address is who may show it.
func (i *issuing) bound() bool { return i.client == "" && !i.bearer }

// recorded says whether there is anything that a signed handle has no room for.
func (i *issuing) recorded() bool {
	return i.phone != "" || i.note != "" || i.address.IsValid() && !i.bound()
}

// record is what the database would have to know of the handle.
func (i *issuing) record(now time.Time) *qos.HandleRecord {
	r := &qos.HandleRecord{
		Rank: uint8(i.rank), Service: i.service, Expires: now.Add(i.expires).UnixMilli() / 60_000 * 60_000, Bearer: i.bearer,
		Phone: i.phone, Note: i.note,
	}
	if i.address.IsValid() {
		r.Address = i.address.String()
	}
	switch {
	case i.client != "":
		r.Client = qos.Client(qos.KindID, i.client)
	case i.bearer:
		rand.Read(r.Client[:]) // somebody; never fails
	default:
		r.Client, _ = qos.ClientAt(i.address)
	}
	return r
}

// octets makes the handle itself.
func (i *issuing) octets(ctx context.Context, keys keyPlace, r *qos.HandleRecord, h *issued) ([]byte, error) {
	c := qos.Claim{
		Client: r.Client, Rank: r.Rank, Expires: r.Expires, Bearer: i.bearer, Bound: i.bound(), Service: qos.ServiceHash(r.Service),
	}
	h.Shown = shownHow(&c)
	if i.lookedUp {
		octets := make([]byte, qos.LookedUp)
		rand.Read(octets) // never fails
		return octets, nil
	}
	list, err := keys.load(ctx)
	if err != nil {
		return nil, err
	}
	ring, err := qos.NewKeyring(list)
	if err != nil {
		return nil, refusedf("%w", err)
	}
	key, ok := ring.Newest(time.Now().UnixMilli())
	if !ok {
		return nil, notFoundf("no key that signs now; farm key rotate makes one")
	}
	if key.Until != 0 && r.Expires > key.Until {
		return nil, refusedf("key %d ends at %s, before the handle would; farm key rotate makes another", key.ID, moment(key.Until))
	}
	c.KeyID = key.ID
	h.Kind, h.Key = signed, &key.ID
	token, err := ring.Sign(c)
	return token[:], err
}

// forms fills in how the handle is shown.
func (h *issued) forms(octets []byte, i *issuing) error {
	h.ID, h.Octets = qos.HandleOf(octets), hex.EncodeToString(octets)
	asked := qos.Asked{HandleLen: uint8(len(octets))}
	copy(asked.Handle[:], octets)
	label, err := qos.AppendLabels(nil, &asked, nil)
	if err != nil {
		return err
	}
	h.Label = strings.TrimSuffix(string(label), ".")
	h.Option = hex.EncodeToString(qos.AppendOption(nil, &asked, []byte(i.client)))
	// A client id that is too long for a label is shown in the option only.
	if labels, err := qos.AppendLabels(nil, &asked, []byte(i.client)); err == nil && i.service != qos.AnyService {
		h.Name = string(labels) + strings.TrimPrefix(i.service, "*.")
	}
	return nil
}

func (h *issued) write(w io.Writer) error {
	if err := h.handleOf.write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nlabel   %s\noctets  %s\noption  %s\n", h.Label, h.Octets, h.Option)
	if err == nil && h.Name != "" {
		_, err = fmt.Fprintf(w, "\n  dig %s\n  dig +ednsopt=%d:%s %s\n", h.Name, qos.OptionCode, h.Option, h.Service)
	}
	return err
}

// address is a flag of an IP address.
func address(p *netip.Addr) *value {
	return &value{kind: "address", show: func() string { return "" }, set: func(s string) (err error) {
		*p, err = parseAddress(s)
		return err
	}}
}
