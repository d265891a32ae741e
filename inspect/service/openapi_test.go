package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect/service"
)

type description struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct {
		SecuritySchemes map[string]any
		Schemas         map[string]schema
	}
}

type operation struct {
	OperationID string
	Security    []map[string][]string
	Parameters  []struct {
		Name, In string
		Schema   schema
	}
	RequestBody struct{ Content map[string]any }
	Responses   map[string]struct {
		Content map[string]struct{ Schema schema }
		Headers map[string]any
	}
}

type schema struct {
	Ref                  string `json:"$ref"`
	Type, Format         string
	Nullable             bool
	AdditionalProperties any
	Required             []string
	Properties           map[string]schema
	Items                *schema
	Enum                 []string
}

func describe(t *testing.T, h *service.Handler) description {
	t.Helper()
	var d description
	require.NoError(t, json.Unmarshal(call(h, "GET", "/openapi.json", nil).Body.Bytes(), &d))
	return d
}

// everything is a Handler with all that there can be.
func everything(t *testing.T) *service.Handler {
	return handler(t, func(c *service.Config) {
		c.Tokens, c.Journals = []string{"0123456789abcdef"}, map[string]service.Journal{"gear": &journal{}}
	})
}

// Each path that is described is there with just its method, and asks for a token where
// that is said.
func TestTheDescriptionHasTheRoutes(t *testing.T) {
	h := everything(t)
	d := describe(t, h)
	require.Len(t, d.Paths, 8)
	for path, item := range d.Paths {
		require.Len(t, item, 1, path)
		for method, op := range item {
			real := strings.ReplaceAll(path, "{product}", "gear")
			var allowed []string
			for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
				w := call(h, m, real, nil)
				require.NotEqual(t, 404, w.Code, path)
				if w.Code != 405 {
					allowed = append(allowed, strings.ToLower(m))
					require.Equal(t, len(op.Security) > 0, w.Code == 401, "%s: token", path)
				}
			}
			require.Equal(t, []string{method}, allowed, path)
			require.NotEmpty(t, op.OperationID)
		}
	}
	// What a server does not have is not described.
	less := describe(t, handler(t, func(c *service.Config) { c.NoPage = true }))
	require.NotContains(t, less.Paths, "/")
	require.NotContains(t, less.Paths, "/feedback/{product}")
	require.Len(t, less.Paths, 6)
	require.Empty(t, less.Components.SecuritySchemes)
	require.NotContains(t, less.Components.Schemas, "Opinion")
	for path, item := range less.Paths {
		for _, op := range item {
			require.Empty(t, op.Security, path)
			require.NotContains(t, op.Responses, "401", path)
		}
	}
}

// Every field of what is sent and read is described, with its type, and nothing else.
func TestTheDescriptionHasTheFields(t *testing.T) {
	all := []any{service.Answer{}, service.Defect{}, service.Timing{}, service.Map{}, service.Information{}, service.Product{}, service.Drift{},
		service.Opinion{}, service.Recorded{}, service.State{}, service.Problem{}, service.ProblemError{}}
	d := describe(t, everything(t))
	require.Len(t, d.Components.Schemas, len(all))
	for _, v := range all {
		typ := reflect.TypeOf(v)
		s, ok := d.Components.Schemas[typ.Name()]
		require.True(t, ok, typ.Name())
		require.Equal(t, false, s.AdditionalProperties, typ.Name())
		var names, required []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
			if option == "" {
				required = append(required, name)
			}
			p := s.Properties[name]
			want := schemaOf(f.Type)
			got := p.Type + p.Format + p.Ref
			require.Equal(t, want, got, "%s.%s", typ.Name(), name)
			require.Equal(t, f.Type.Kind() == reflect.Pointer && option == "", p.Nullable, "%s.%s", typ.Name(), name)
			if p.Items != nil {
				require.Equal(t, schemaOf(f.Type.Elem()), p.Items.Ref)
			}
		}
		var described []string
		for name := range s.Properties {
			described = append(described, name)
		}
		require.ElementsMatch(t, names, described, typ.Name())
		require.ElementsMatch(t, required, s.Required, typ.Name())
	}
}

// schemaOf is the type, format and reference that stand for a Go type.
func schemaOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "stringdate-time"
	case t == reflect.TypeFor[[]byte]():
		return "stringbyte"
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t.Kind() == reflect.Struct:
		return "#/components/schemas/" + t.Name()
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Uint64:
		return "integer"
	case reflect.Float64:
		return "numberdouble"
	case reflect.Slice:
		return "array"
	case reflect.Map:
		return "object"
	}
	return t.String()
}

// Every code in the source is described, and so is every status that a test of this
// package has met.
func TestTheDescriptionHasTheCodes(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	require.NoError(t, err)
	var codes []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if strings.HasPrefix(name.Name, "code") {
				s, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
				require.NoError(t, err)
				codes = append(codes, s)
			}
		}
		return true
	})
	require.Greater(t, len(codes), 15)
	require.ElementsMatch(t, codes, describe(t, everything(t)).Components.Schemas["ProblemError"].Properties["code"].Enum)
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "service.md"))
	require.NoError(t, err)
	for _, c := range codes {
		require.Contains(t, string(doc), "`"+c+"`")
	}
}

func TestTheDescriptionHasTheAnswers(t *testing.T) {
	h := everything(t)
	op := describe(t, h).Paths["/inspect/{product}"]["post"]
	bearer := []string{"Authorization", "Bearer 0123456789abcdef"}
	pic := encoded(t, part(40, 30, false))
	var kinds []string
	for _, p := range op.Parameters {
		if p.Name == "map" {
			for _, v := range p.Schema.Enum {
				w := call(h, "POST", "/inspect/gear?map="+v, bytes.NewReader(pic), bearer...)
				require.Equal(t, 200, w.Code)
				kinds = append(kinds, w.Header().Get("Content-Type"))
				for name := range w.Header() {
					if strings.HasPrefix(name, "X-Inspect") {
						require.Contains(t, op.Responses["200"].Headers, name)
					}
				}
			}
		}
	}
	slices.Sort(kinds)
	var described []string
	for k := range op.Responses["200"].Content {
		described = append(described, k)
	}
	require.ElementsMatch(t, described, slices.Compact(kinds))
	for kind := range op.RequestBody.Content {
		body, kind := pic, strings.ReplaceAll(kind, "*", "png")
		if kind == "multipart/form-data" {
			kind, body = formOf(t, field{"image", pic})
		}
		require.Equal(t, 200, call(h, "POST", "/inspect/gear", bytes.NewReader(body), append(bearer, "Content-Type", kind)...).Code, kind)
	}
	for _, status := range []int{400, 401, 404, 406, 408, 413, 415, 422, 500, 503, 504} {
		require.Contains(t, op.Responses, fmt.Sprint(status))
		require.Equal(t, "#/components/schemas/Problem", op.Responses[fmt.Sprint(status)].Content["application/json"].Schema.Ref)
	}
	require.Len(t, op.Responses, 12)
}

// The common validator of Python reads it, where that is there.
func TestTheDescriptionIsValid(t *testing.T) {
	python := os.Getenv("TAB_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import openapi_spec_validator").CombinedOutput(); err != nil {
		t.Skipf("%s has no openapi-spec-validator (pip install openapi-spec-validator; TAB_PYTHON names another Python): %v %.80s", python, err, out)
	}
	for name, h := range map[string]*service.Handler{"all": everything(t), "least": handler(t, func(c *service.Config) { c.NoPage = true })} {
		file := filepath.Join(t.TempDir(), "openapi.json")
		require.NoError(t, os.WriteFile(file, call(h, "GET", "/openapi.json", nil).Body.Bytes(), 0o600))
		out, err := exec.Command(python, "-m", "openapi_spec_validator", file).CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
	}
}
