package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

const brokerlessCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis REDIS
        level gold {
            rank 20
            down 8M
            requires network
        }
        qos {
            wait 300ms
            rate 100 100
        }
        service www.example.org {
            server web1 192.0.2.1
            server web2 192.0.2.2
        }
    }
}
`

// TestNoBroker has clients with handles ask for a level of the network while nobody grants any: no broker runs, or the
// one that did has died. They get their answers when the wait is over, and so does everybody else at once; also when the
// database hangs.
func TestNoBroker(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	c := startCoreDNS(t, strings.ReplaceAll(brokerlessCorefile, "REDIS", redis.URL))
	awaitGiven(t, c.addr, levelledName, "192.0.2.1", "192.0.2.2")
	i := newIssuer(t, db)
	await(t, "handles to be accepted", func() bool { return i.grantText(c.addr, "nobody") != "" })
	var names []string
	for client := range 50 {
		names = append(names, i.name(fmt.Sprint("client", client)))
	}
	entitled := startSteady(t, of(c.addr), names...)
	others := startSteady(t, of(c.addr), levelledName)
	entitled.more(2 * sample)
	others.more(sample)
	if text := i.grantText(c.addr, "client1"); !strings.HasPrefix(text, "state=requested ") {
		t.Errorf("Expected the request to be waiting for a broker, got %q", text)
	}
	redis.Stop()
	entitled.more(3 * sample)
	others.more(sample)
	redis.Cont()
	entitled.noneFailed()
	others.noneFailed()
}
