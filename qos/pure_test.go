package qos_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// impure are the packages that read a clock, a file or a network; time is allowed for its formats alone.
var impure = []string{"os", "net", "net/http", "syscall", "crypto/rand", "math/rand", "math/rand/v2", "log", "context"}

// TestPure: time and chance are arguments, here.
func TestPure(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := file.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			checkPure(t, name)
		}
	}
}

func checkPure(t *testing.T, name string) {
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		if path, _ := strconv.Unquote(i.Path.Value); slices.Contains(impure, path) {
			t.Errorf("%s imports %s", name, path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "NewTimer", "Tick"}, s.Sel.Name) {
			t.Errorf("%s uses time.%s", name, s.Sel.Name)
		}
		return true
	})
}
