// Package sheet shows what generators of damage make of good images, and how often they make
// nothing that can be seen: [Survey] draws, [Write] draws the contact sheet, [WriteTable] the rates.
package sheet

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/synth"
)

// Column is a generator on a sheet.
type Column struct {
	Name      string
	Generator synth.Generator
}

// Config says what is drawn. The same Seed gives the same sheet.
type Config struct {
	Seed uint64
	// Least is the least mean change inside the mask, in grey levels of 0 to 255, that counts as
	// seen. On the sheet a generator draws until it is seen, twenty times at most; Exact shows the
	// first draw that is placed, however faint.
	Least float64
	Exact bool
	// Columns are side by side.
	Columns []Column
	// Size is the side in pixels that images are resized to before they are damaged, up to 2048. Images
	// is how many of a class are read, evenly spread over it, Rows how many of them are on the sheet.
	Size, Images, Rows int
	// Draws is the number of draws of each generator and class behind the table, up to 1,000,000.
	Draws int
}

const maxDraws = 1_000_000

// Default shows the kinds of the mixture that pre-training draws from.
func Default() Config {
	return Config{Seed: 1, Least: 6, Columns: Columns()[:9], Size: 224, Images: 8, Rows: 1, Draws: 100}
}

// ErrConfig reports settings that make no sense.
var ErrConfig = errors.New("wrong settings")

// Validate names the first field that makes no sense; the error wraps [ErrConfig].
func (o Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("sheet: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	switch {
	case !(o.Least >= 0 && o.Least <= 255):
		return wrong("Least is %g, want 0 to 255", o.Least)
	case o.Size < synth.MinSide || o.Size > 2048:
		return wrong("Size is %d, want %d to 2048", o.Size, synth.MinSide)
	case o.Rows < 1 || o.Images < o.Rows:
		return wrong("Rows is %d and Images %d, want 1 <= Rows <= Images", o.Rows, o.Images)
	case o.Draws < 1 || o.Draws > maxDraws:
		return wrong("Draws is %d, want 1 to %d", o.Draws, maxDraws)
	}
	for _, c := range o.Columns {
		if c.Generator == nil {
			return wrong("column %q has no generator", c.Name)
		}
	}
	return nil
}

// Columns are the generators of this module that have names, in the order of a sheet: the
// kinds of the mixture that pre-training draws from, one by one and together, and
// the generators of articles and of their released code.
func Columns() []Column {
	var all []Column
	mixture := synth.DefaultMixture()
	for _, list := range [][]synth.Ingredient{mixture.Kinds, mixture.Normal} {
		for _, g := range list {
			all = append(all, Column{"mix-" + g.Kind.Short(), g.Generator})
		}
	}
	return append(all, []Column{
		{"mixture", mixture},
		{"nsa", synth.DefaultNSA()},
		{"nsa-texture", synth.TextureNSA()},
		{"nsa-ellipse", synth.EllipseShapes(synth.ObjectNSA())},
		{"cutpaste", synth.DefaultCutPaste()},
		{"scar", synth.ScarCutPaste()},
		{"perlin", synth.DefaultPerlin()},
		{"mask", synth.DefaultMask()},
		{"tab", synth.OfficialTAB()},
		{"tab-cutpaste", synth.OfficialTABCutPaste()},
		{"tab-perlin", synth.OfficialTABPerlin()},
		{"draem", synth.DRAEMPerlin()},
		{"riad", synth.RIADMask()},
	}...)
}

// Names are those of [Columns].
func Names() []string {
	var names []string
	for _, c := range Columns() {
		names = append(names, c.Name)
	}
	return names
}

// Named returns the [Columns] of some names, in the order of the names; spaces around one do not count. One that there is not is an error that wraps
// [ErrConfig] and lists those that there are.
func Named(names ...string) ([]Column, error) {
	all := Columns()
	var out []Column
	for _, name := range names {
		i := slices.IndexFunc(all, func(c Column) bool { return c.Name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("sheet: %w: %q is not known, want some of %s", ErrConfig, name, strings.Join(Names(), ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// WriteTable writes, class by class, which share of draws made nothing to be seen, and how strong
// the others are.
func WriteTable(w io.Writer, blocks []Block, o Config) error {
	if w == nil {
		return fmt.Errorf("sheet: table: %w: the writer is nil", ErrConfig)
	}
	fmt.Fprintf(w, "Share of %d draws with nothing to be seen: not placed, or below %g grey levels on average.\n", o.Draws, o.Least)
	fmt.Fprintf(w, "In brackets the median change of the draws that were placed, in grey levels. \"apart\" is how far two good\n"+
		"images are from each other: on uneven material a change well below it looks like good material.\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "class\tapart")
	for _, g := range o.Columns {
		fmt.Fprintf(t, "\t%s", g.Name)
	}
	fmt.Fprintln(t)
	for _, b := range blocks {
		fmt.Fprintf(t, "%s\t%.1f", b.Class, b.Apart)
		for _, r := range b.Rates {
			fmt.Fprintf(t, "\t%s (%.1f)", unseen(r), r.Median)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// unseen says which share of draws shows nothing, or that they are not meant to.
func unseen(r synth.Rate) string {
	if r.Normal > 0 && r.Normal == r.Draws-r.Unplaced {
		return "normal"
	}
	return fmt.Sprintf("%.0f %%", 100*r.Share())
}
