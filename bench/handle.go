package main

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// keyFile is what servers read the key of the handles from. It guards nothing.
const keyFile = "1 YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtMTI=\n"

// signed is a signed handle for every service, and the level that is asked for with it.
func signed() (*qos.Asked, error) {
	keys, err := qos.ParseKeys([]byte(keyFile))
	if err != nil {
		return nil, err
	}
	ring, err := qos.NewKeyring(keys)
	if err != nil {
		return nil, err
	}
	a := &qos.Asked{Level: "gold", HandleLen: qos.Signed}
	a.Handle, err = ring.Sign(qos.Claim{
		Client: qos.Client("id", "bench"), Rank: 1, Expires: time.Now().Add(24 * time.Hour).UnixMilli(), Bearer: true,
		Service: qos.ServiceHash(qos.AnyService), KeyID: keys[0].ID,
	})
	return a, err
}

// inLabels has every question carry the handle before the name.
func inLabels() (labels, option string, err error) {
	a, err := signed()
	if err != nil {
		return "", "", err
	}
	text, err := qos.AppendLabels(nil, a, nil)
	return string(text), "", err
}

// inOption has every question carry the handle in an EDNS0 option.
func inOption() (labels, option string, err error) {
	a, err := signed()
	if err != nil {
		return "", "", err
	}
	return "", fmt.Sprintf("%d:%s", qos.OptionCode, hex.EncodeToString(qos.AppendOption(nil, a, nil))), nil
}
