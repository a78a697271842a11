package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// attacker is one who attacks a name server until its time is over.
type attacker struct {
	addr   string
	end    time.Time
	chance *rand.Rand
}

func (a *attacker) over() bool { return time.Now().After(a.end) }

// floodRoom is how many octets are sent before an answer is waited for. It fits the buffer of the server's socket, so
// that it is the server that is loaded and not the buffer.
const floodRoom = 16 << 10

// flood sends packets as fast as the server takes them, each few from another address and followed by a question in due
// form, whose answer says that those before it were taken.
func (a *attacker) flood(packet func() []byte) (sent int) {
	for !a.over() {
		c := a.dial()
		for room := floodRoom; room > 0; sent++ {
			p := packet()
			room -= len(p) + 256
			if _, err := c.Write(p); err != nil {
				break
			}
		}
		m, _ := question(service, dns.TypeA).Pack()
		_, _ = c.Write(m)
		a.awaitReply(c, binary.BigEndian.Uint16(m))
		c.Close()
	}
	return sent
}

// dial opens a socket at a random address of this machine.
func (a *attacker) dial() net.Conn {
	from := net.IPv4(127, byte(a.chance.IntN(256)), byte(a.chance.IntN(256)), byte(1+a.chance.IntN(254)))
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: from}}
	c, err := d.Dial("udp", a.addr)
	if err != nil {
		panic(err) // the machine has no 127.0.0.0/8
	}
	return c
}

// awaitReply reads until the reply with an id comes, or none comes any more.
func (a *attacker) awaitReply(c net.Conn, id uint16) {
	buf := make([]byte, dns.MaxMsgSize)
	for {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.Read(buf)
		if err != nil || n >= 2 && binary.BigEndian.Uint16(buf) == id {
			return
		}
	}
}

// malformed is either nonsense or a question of which some octets are.
func (a *attacker) malformed() []byte {
	if a.chance.IntN(3) == 0 {
		return a.octets(a.chance.IntN(512))
	}
	p, _ := a.question().Pack()
	for range 1 + a.chance.IntN(8) {
		p[a.chance.IntN(len(p))] = byte(a.chance.Uint32())
	}
	p[2] &^= 0x80 // what claims to be a reply is dropped at once
	return p[:1+a.chance.IntN(len(p))]
}

func (a *attacker) octets(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(a.chance.Uint32())
	}
	return p
}

func (a *attacker) randomName() []byte {
	p, _ := a.question().Pack()
	return p
}

// question asks for a name and a type that nobody asked for before.
func (a *attacker) question() *dns.Msg {
	name := fmt.Sprintf("%x.%x.example.org.", a.chance.Uint64(), a.chance.Uint32())
	if a.chance.IntN(2) == 0 {
		name = fmt.Sprintf("%x.%s", a.chance.Uint64(), service)
	}
	return question(name, uint16(a.chance.Uint32()))
}

func (a *attacker) manyLabels() []byte {
	name := strings.Repeat(string(rune('a'+a.chance.IntN(26)))+".", 120) + "example.org."
	if a.chance.IntN(2) == 0 {
		name = strings.Repeat(strings.Repeat("_", 63)+".", 3) + "example.org."
	}
	p, _ := question(name, dns.TypeA).Pack()
	return p
}

// manyOptions fills what a server reads of a packet.
func (a *attacker) manyOptions() []byte {
	m := question(service, dns.TypeA)
	a.addOptions(m.IsEdns0(), dns.MinMsgSize-60)
	p, _ := m.Pack()
	return p
}

// addOptions adds options of so many octets together, of codes that mean something and of others.
func (a *attacker) addOptions(opt *dns.OPT, octets int) {
	opt.SetUDPSize(dns.MaxMsgSize - 1)
	for octets > 0 {
		code := []uint16{dns.EDNS0SUBNET, dns.EDNS0COOKIE, dns.EDNS0NSID, 65400, uint16(a.chance.Uint32())}[a.chance.IntN(5)]
		o := &dns.EDNS0_LOCAL{Code: code, Data: a.octets(a.chance.IntN(12))}
		opt.Option = append(opt.Option, o)
		octets -= 4 + len(o.Data)
	}
}

// subnets is a resolver's query for a client somewhere.
func (a *attacker) subnets() []byte {
	m := question(service, dns.TypeA)
	subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: append(a.octets(3), 0)}
	if a.chance.IntN(2) == 0 {
		subnet.Family, subnet.SourceNetmask, subnet.Address = 2, 56, append(a.octets(7), make([]byte, 9)...)
	}
	opt := m.IsEdns0()
	opt.Option = append(opt.Option, subnet, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: fmt.Sprintf("%016x", a.chance.Uint64())})
	p, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return p
}

// hugeMessages sends the longest messages that there are over TCP, several before it reads the answers.
func (a *attacker) hugeMessages() (sent int) {
	for !a.over() {
		m := question(service, dns.TypeA)
		a.addOptions(m.IsEdns0(), dns.MaxMsgSize-200)
		p, err := m.Pack()
		if err != nil {
			p = a.octets(dns.MaxMsgSize - 1)
		}
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			continue
		}
		conn := &dns.Conn{Conn: c}
		_ = c.SetDeadline(time.Now().Add(time.Second))
		for range 8 {
			if _, err := conn.Write(p); err == nil {
				sent++
			}
		}
		_, _ = conn.ReadMsg()
		c.Close()
	}
	return sent
}

// lorises is how many connections one attacker holds at once.
const lorises = 100

// loris opens connections and sends a message on each, an octet a second.
func (a *attacker) loris() int {
	p := a.framed()
	return a.hold(func(second int) []byte { return p[second : second+1] })
}

// deaf asks many times on each connection and reads no answer.
func (a *attacker) deaf() int {
	p := bytes.Repeat(a.framed(), 30)
	return a.hold(func(int) []byte { return p })
}

// framed is a question as it goes over TCP.
func (a *attacker) framed() []byte {
	p, _ := question(service, dns.TypeA).Pack()
	return append([]byte{0, byte(len(p))}, p...)
}

// hold opens connections and writes to each of them once a second. It returns how many writes were taken.
func (a *attacker) hold(what func(second int) []byte) (sent int) {
	var held []net.Conn
	for range lorises {
		if c, err := net.Dial("tcp", a.addr); err == nil {
			held = append(held, c)
			defer c.Close()
		}
	}
	for second := 0; !a.over(); second++ {
		for _, c := range held {
			_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Write(what(second)); err == nil {
				sent++
			}
		}
		time.Sleep(time.Second)
	}
	return sent
}
