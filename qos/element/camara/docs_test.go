package camara

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDocs: the example is valid, and every key is explained.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/camara.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	var broker struct {
		Redis    []string `yaml:"redis"`
		Elements []struct {
			Name   string `yaml:"name"`
			CAMARA Config `yaml:"camara"`
		} `yaml:"elements"`
	}
	if err := yaml.NewDecoder(strings.NewReader(example), yaml.Strict()).Decode(&broker); err != nil || len(broker.Elements) != 1 {
		t.Fatalf("%v: %s", err, example)
	}
	if err := broker.Elements[0].CAMARA.Check(); err != nil {
		t.Error(err)
	}
	for _, key := range []string{
		"url", "profiles_url", "ca", "oauth.token_url", "oauth.client_id", "oauth.secret_file", "oauth.in_body", "oauth.scopes",
		"sink.listen", "sink.url", "sink.cert", "sink.key", "poll", "timeout", "correlator", "identifiers",
	} {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("docs/camara.md does not explain %s", key)
		}
	}
}
