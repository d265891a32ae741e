package card_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/tab/card"
)

const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of "abc", FIPS 180-2

func file(name string) *card.File { return &card.File{Name: name, Bytes: 3, SHA256: sum} }

func whole() *card.Card {
	return &card.Card{
		Version: 1, Architecture: "resnet18", Finished: true, Weights: file("w.safetensors"), Projection: file("p"),
		Data:     []card.Class{{Class: "cloth", Images: 4, SHA256: sum}, {Class: "steel", Images: 2, SHA256: sum}},
		Licences: []string{"CC-BY-4.0"}, Start: &card.Start{File: file("start")}, Anchors: &card.Anchors{File: file("bank"), Model: "m", Prompts: "p"},
		Detectability: []card.Detectability{{Class: "cloth", Foreign: map[string]float64{"texture": 1.18, "noise": 1.34}, StandsOut: 1.34, Blind: true}, {Class: "steel", LeftOut: true}},
		Twins:         file("t"), Objective: "mix", Recipe: json.RawMessage(`{"LR":1}`), Options: map[string]string{"recipe": "amplify"}, Seed: 7, Share: 1,
		Steps: 9, Parts: []card.Part{{To: 4, Seconds: 1.5, Library: "v", Libtorch: "2.1.2", Device: "cpu", Threads: 2}, {From: 4, To: 9, Seconds: 2}},
		Measured: &card.Table{File: *file("sweep.txt"), Text: "abc"},
	}
}

func TestCardComesBackAsItWas(t *testing.T) {
	path := card.Name(filepath.Join(t.TempDir(), "w"))
	require.True(t, strings.HasSuffix(path, "w.card.json"))
	require.NoError(t, whole().Save(path))
	got, err := card.Open(path)
	require.NoError(t, err)
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, got.Recipe))
	got.Recipe = compact.Bytes()
	require.Equal(t, whole(), got)
	seconds, all := got.Seconds()
	require.Equal(t, 3.5, seconds)
	require.True(t, all)

	// A broken card is not written, and what is there stays.
	bad := whole()
	bad.Share = 2
	require.ErrorIs(t, bad.Save(path), card.ErrCard)
	_, err = card.Open(path)
	require.NoError(t, err)
	_, err = card.Open(path + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Steps that no part has are said.
func TestSecondsOfAKilledRun(t *testing.T) {
	for _, parts := range [][]card.Part{nil, {{From: 0, To: 4}}, {{From: 0, To: 4}, {From: 5, To: 9}}, {{From: 1, To: 9}}} {
		c := whole()
		c.Parts = parts
		require.NoError(t, c.Validate())
		_, all := c.Seconds()
		require.False(t, all, "%v", parts)
	}
	c := whole()
	c.Parts = []card.Part{{From: 0, To: 6, Seconds: 1}, {From: 4, To: 9, Seconds: 1}} // gone on with from an older checkpoint
	_, all := c.Seconds()
	require.True(t, all)
}

func TestWhatCannotBeTrue(t *testing.T) {
	for what, change := range map[string]func(c *card.Card){
		"version":                            func(c *card.Card) { c.Version = 2 },
		"architecture":                       func(c *card.Card) { c.Architecture = "" },
		"no weights":                         func(c *card.Card) { c.Weights = nil },
		"classes":                            func(c *card.Card) { c.Data = nil },
		"must rise":                          func(c *card.Card) { c.Data[1].Class = "cloth" },
		"0 images":                           func(c *card.Card) { c.Data[0].Images = 0 },
		"the sum":                            func(c *card.Card) { c.Data[0].SHA256 = sum[1:] },
		"weights: ":                          func(c *card.Card) { c.Weights.SHA256 = "" },
		"projection: ":                       func(c *card.Card) { c.Projection.Bytes = -1 },
		"start: ":                            func(c *card.Card) { c.Start.File.Name = "" },
		"anchors: ":                          func(c *card.Card) { c.Anchors.File.SHA256 = strings.Repeat("z", 64) },
		"twins: ":                            func(c *card.Card) { c.Twins.SHA256 = sum + sum },
		"2 kinds":                            func(c *card.Card) { c.Detectability[0].StandsOut = 1 },
		"NaN":                                func(c *card.Card) { c.Detectability[1].StandsOut = math.NaN() },
		"+Inf":                               func(c *card.Card) { c.Detectability[1].StandsOut = math.Inf(1) },
		"class 1: \"\"":                      func(c *card.Card) { c.Detectability[1].Class = "" },
		"class 1: \"cl":                      func(c *card.Card) { c.Detectability[1].Class = "cloth" },
		"detectability is of 100001 classes": func(c *card.Card) { c.Detectability = make([]card.Detectability, 100_001) },
		"measured: ":                         func(c *card.Card) { c.Measured.Text = "\xff" },
		"recipe":                             func(c *card.Card) { c.Recipe = json.RawMessage(`[1]`) },
		"watch":                              func(c *card.Card) { c.Watch = -0.1 },
		"share":                              func(c *card.Card) { c.Share = math.NaN() },
		"steps":                              func(c *card.Card) { c.Steps = -1 },
		"part 0":                             func(c *card.Card) { c.Parts[0].Seconds = math.Inf(1) },
		"part 1":                             func(c *card.Card) { c.Parts[1].To = 3 },
		"skipped":                            func(c *card.Card) { c.Skipped = -1 },
		"licence":                            func(c *card.Card) { c.Licences = []string{""} },
	} {
		c := whole()
		change(c)
		require.ErrorIs(t, c.Validate(), card.ErrCard, what)
		require.ErrorContains(t, c.Validate(), what)
	}
	var none *card.Card
	require.ErrorIs(t, none.Validate(), card.ErrCard)
	for _, text := range []string{"", "[]", "{}", `{"version":"1"}`, strings.Repeat(" ", 16<<20+1)} {
		_, err := card.Read(strings.NewReader(text))
		require.ErrorIs(t, err, card.ErrCard)
	}
	_, err := card.Read(nil)
	require.ErrorIs(t, err, card.ErrCard)
}

func image(class, name, content string) card.Image {
	return card.Image{Class: class, Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

// The sums are those of `cd ROOT && sha256sum FILES | sort -k2 | sha256sum`, run on files
// with the contents abc and nothing.
func TestDataAsSha256sumSays(t *testing.T) {
	a, b, c := image("steel", "steel/b.png", "abc"), image("steel", "steel/a.png", ""), image("cloth", "cloth/a.png", "abc")
	got, err := card.Data(t.Context(), []card.Image{a, b, c})
	require.NoError(t, err)
	require.Equal(t, []card.Class{{"cloth", 1, "cb65c333be41e1dc83b7e61aa1210da778fb3f059c32530ba0229719c129cf86"}, {"steel", 2, "ef1a65c2ea889705cbab12c5181447ba3fc3ce835e81ae1f2a9c42a6e3a66029"}}, got)
	other, err := card.Data(t.Context(), []card.Image{c, b, a})
	require.NoError(t, err)
	require.Equal(t, got, other, "the order does not matter")
	other, err = card.Data(t.Context(), []card.Image{image("steel", "steel/b.png", "abd"), b, c})
	require.NoError(t, err)
	require.Equal(t, got[0], other[0])
	require.NotEqual(t, got[1], other[1])

	broken := errors.New("broken")
	_, err = card.Data(t.Context(), []card.Image{{Class: "a", Name: "b", Open: func() (io.ReadCloser, error) { return nil, broken }}})
	require.ErrorIs(t, err, broken)
	for _, sum := range []string{"", "two words", "two\nlines"} {
		_, err = card.Data(t.Context(), []card.Image{{Class: "a", Name: "b", Sum: sum}})
		require.ErrorIs(t, err, card.ErrCard, sum)
	}
	known, err := card.Data(t.Context(), []card.Image{{Class: "a", Name: "b", Sum: card.ShardSum(0xabc, 7)}})
	require.NoError(t, err)
	require.Equal(t, []card.Class{{Class: "a", Images: 1, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("crc32c:00000abc:7  b\n")))}}, known)
	_, err = card.Data(t.Context(), []card.Image{{Class: "a", Name: "b"}})
	require.ErrorIs(t, err, card.ErrCard)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = card.Data(ended, []card.Image{a})
	require.ErrorIs(t, err, context.Canceled)
	var none context.Context
	_, err = card.Data(none, nil)
	require.ErrorIs(t, err, card.ErrCard)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc.txt")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	f, err := card.FileAt(path)
	require.NoError(t, err)
	require.Equal(t, file("abc.txt"), f)
	require.NoError(t, f.Check(path))
	require.NoError(t, os.WriteFile(path, []byte("abd"), 0o600))
	require.ErrorIs(t, f.Check(path), card.ErrOther)
	require.ErrorIs(t, f.Check(path+"x"), os.ErrNotExist)
	f = nil
	require.ErrorIs(t, f.Check(path), card.ErrOther)
	require.NotEmpty(t, card.Library())
}

func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs:  []any{card.Read, card.Data, card.ShardSum, card.Library, card.Name, card.FileAt},
		Types:  []any{new(card.Card), new(card.File), new(card.Start), new(card.Anchors), new(card.Part), new(card.Table), new(card.Detectability), new(card.Class), new(card.Image)},
		Values: []any{*whole(), image("a", "b", "c")},
		Skip: map[string]string{
			"Open":      "it reads files of any name; Read is what it is made of",
			"Card.Save": "it would make files of any name; WriteTo is what it is made of",
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 300)
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	_, err := whole().WriteTo(&b)
	require.NoError(f, err)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := card.Read(bytes.NewReader(raw))
		if err != nil {
			require.ErrorIs(t, err, card.ErrCard)
			return
		}
		var again bytes.Buffer
		_, err = c.WriteTo(&again)
		require.NoError(t, err)
		same, err := card.Read(&again)
		require.NoError(t, err)
		require.Equal(t, c.Weights, same.Weights)
	})
}
