package sim

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"regexp"
)

// identity names a device by the identifier that the operator goes by. Equal ones are one device.
type identity string

var phoneForm = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)

// identify chooses the identifier that the operator goes by: the address before the number, which several devices may
// share. It returns the device with that one alone.
func identify(d *Device) (identity, *Device, *failure) {
	switch {
	case d == nil:
		return "", nil, fail(http.StatusUnprocessableEntity, "MISSING_IDENTIFIER", "The device cannot be identified.")
	case d.IPv6Address != "":
		a, err := netip.ParseAddr(d.IPv6Address)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", nil, invalid("device.ipv6Address: expected an IPv6 address")
		}
		subnet, _ := a.Prefix(64) // what an operator gives a device
		return identity(subnet.String()), &Device{IPv6Address: d.IPv6Address}, nil
	case d.IPv4Address != nil:
		name, f := d.IPv4Address.identify()
		return name, &Device{IPv4Address: d.IPv4Address}, f
	case d.PhoneNumber != "":
		if !phoneForm.MatchString(d.PhoneNumber) {
			return "", nil, invalid("device.phoneNumber: expected an E.164 number with its +")
		}
		return identity(d.PhoneNumber), &Device{PhoneNumber: d.PhoneNumber}, nil
	case d.NetworkAccessIdentifier != "":
		return "", nil, fail(http.StatusUnprocessableEntity, "UNSUPPORTED_IDENTIFIER", "The identifier provided is not supported.")
	}
	return "", nil, invalid("device: expected an identifier")
}

func (a *IPv4) identify() (identity, *failure) {
	public, err := netip.ParseAddr(a.PublicAddress)
	if err != nil || !public.Is4() {
		return "", invalid("device.ipv4Address.publicAddress: expected an IPv4 address")
	}
	if a.PublicPort != nil {
		if *a.PublicPort < 0 || *a.PublicPort > math.MaxUint16 {
			return "", invalid("device.ipv4Address.publicPort: expected 0 to 65535")
		}
		return identity(fmt.Sprintf("%s:%d", public, *a.PublicPort)), nil
	}
	private, err := netip.ParseAddr(a.PrivateAddress)
	if err != nil || !private.Is4() {
		return "", invalid("device.ipv4Address: expected publicPort or privateAddress")
	}
	return identity(fmt.Sprintf("%s/%s", public, private)), nil
}
