package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// gdnsd starts gdnsd with plugin_weighted, which draws one address in proportion to the weights.
func gdnsd(s *stage, port int) (*process, error) {
	path, err := findProgram("gdnsd")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, fmt.Sprintf("gdnsd-%d", port))
	config := fmt.Sprintf("options => { listen => %q, run_dir => %q, state_dir => %q }\n", local(port), dir, dir) +
		"plugins => { weighted => { service_types => \"up\", multi => false\n" + s.gdnsdServices() + "} }\n"
	if _, err := s.write(filepath.Join(filepath.Base(dir), "config"), config); err != nil {
		return nil, err
	}
	_, err = s.zoneFile(s.lab, filepath.Join(filepath.Base(dir), "zones", strings.TrimSuffix(zone, ".")), func(service int) string {
		return fmt.Sprintf("service%d DYNA weighted!service%d\n", service, service)
	})
	if err != nil {
		return nil, err
	}
	return s.start("gdnsd", path, "-c", dir, "start")
}

func (s *stage) gdnsdServices() string {
	var b strings.Builder
	for service := range s.services {
		fmt.Fprintf(&b, "service%d => {\n", service)
		s.of(service, func(i int) { fmt.Fprintf(&b, "%s => [%s, %d]\n", s.id(i), s.addr(i), s.weight(i)) })
		b.WriteString("}\n")
	}
	return b.String()
}

// powerdns starts PowerDNS with Lua records that draw one address in proportion to the weights.
func powerdns(s *stage, port int) (*process, error) {
	path, err := findProgram("pdns_server")
	if err != nil {
		return nil, err
	}
	file, err := s.zoneFile(s.lab, fmt.Sprintf("pdns-%d/zone", port), func(service int) string {
		var pairs []string
		s.of(service, func(i int) { pairs = append(pairs, fmt.Sprintf("{%d,'%s'}", s.weight(i), s.addr(i))) })
		return fmt.Sprintf("service%d 20 IN LUA A \"pickwrandom({%s})\"\n", service, strings.Join(pairs, ","))
	})
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	zones, err := s.write(filepath.Join(filepath.Base(dir), "named.conf"),
		fmt.Sprintf("zone %q { type native; file %q; };\n", strings.TrimSuffix(zone, "."), file))
	if err != nil {
		return nil, err
	}
	return s.start("pdns_server", path, "--no-config", "--config-dir="+dir, "--socket-dir="+dir, "--daemon=no", "--guardian=no",
		"--disable-syslog", "--launch=bind", "--bind-config="+zones, "--enable-lua-records=yes",
		"--local-address=127.0.0.1", fmt.Sprintf("--local-port=%d", port))
}
