package store

import "testing"

func TestNamesThatEndInANumber(t *testing.T) {
	for name, bad := range map[string]bool{
		"192.0.2.300.": true, "192.0.2.": true, "1.2.3.4.5.": true, "192.0.2.1.": true, "0xc0.0x0.0x2.0x1.": true, "a.0x.": true, "7.": true,
		"2.0.192.in-addr.arpa.": false, "www1.example.org.": false, "1.example.org.": false, "x0x1.": false, "a.0y1.": false, "1e1.": false,
	} {
		if err := checkFQDN(name); (err != nil) != bad {
			t.Errorf("%s: got %v", name, err)
		}
		_, err := decodeServer("a", `{"target":"`+name+`"}`)
		if (err != nil) != bad || bad && reasonOf(err) != "name" {
			t.Errorf("A record's target %s: got %v", name, err)
		}
	}
}
