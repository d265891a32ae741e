package report_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

// page is what a reader of report.html meets.
type page struct {
	text     string
	images   []shown
	parts    map[string][]string // names of the parts, in order, by the id of their class
	sections []string            // ids of the classes
	headings []string
}

type shown struct {
	alt    string
	config image.Config
}

// readPage parses report.html strictly, as XML, and refuses whatever would be fetched from
// elsewhere or run.
func readPage(t *testing.T, dir string) page {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	p := page{text: string(b), parts: map[string][]string{}}
	require.NotContains(t, p.text, "://")
	require.NotContains(t, p.text, "ZgotmplZ", "the template refused a value")
	require.NotContains(t, p.text, "url(")
	require.Contains(t, p.text, `content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`)
	ids, links := map[string]bool{}, []string{}
	section := ""
	var inside []string // names of the open elements
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch e := tok.(type) {
		case xml.StartElement:
			inside = append(inside, e.Name.Local)
			require.NotContains(t, []string{"script", "link", "iframe", "object", "embed", "base", "form"}, e.Name.Local)
			alt, src := "", ""
			for _, a := range e.Attr {
				switch a.Name.Local {
				case "src":
					src = a.Value
				case "alt":
					alt = a.Value
				case "href":
					require.True(t, strings.HasPrefix(a.Value, "#"), a.Value)
					links = append(links, a.Value[1:])
				case "id":
					require.False(t, ids[a.Value], a.Value)
					ids[a.Value] = true
					if e.Name.Local == "section" {
						section = a.Value
						p.sections = append(p.sections, section)
					}
				}
				require.False(t, strings.HasPrefix(a.Name.Local, "on"), a.Name.Local)
			}
			if e.Name.Local == "img" {
				require.NotEmpty(t, alt)
				p.images = append(p.images, shown{alt, decode(t, src)})
			} else {
				require.Empty(t, src)
			}
		case xml.EndElement:
			inside = inside[:len(inside)-1]
		case xml.CharData:
			switch n := len(inside); {
			case n > 1 && inside[n-1] == "b" && inside[n-2] == "figcaption":
				p.parts[section] = append(p.parts[section], string(e))
			case n > 0 && inside[n-1] == "h3":
				p.headings = append(p.headings, string(e))
			}
		}
	}
	require.Empty(t, inside)
	for _, l := range links {
		require.True(t, ids[l], "a link leads to %s", l)
	}
	return p
}

// decode opens an address that must hold an image.
func decode(t *testing.T, src string) image.Config {
	kind, data, ok := strings.Cut(src, ";base64,")
	require.True(t, ok)
	require.Contains(t, []string{"data:image/png", "data:image/jpeg"}, kind)
	b, err := base64.StdEncoding.DecodeString(data)
	require.NoError(t, err)
	img, format, err := image.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, "data:image/"+format, kind)
	return image.Config{Width: img.Bounds().Dx(), Height: img.Bounds().Dy()}
}

func decodeFile(t *testing.T, parts ...string) image.Image {
	t.Helper()
	f, err := os.Open(filepath.Join(parts...))
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	return img
}

// data is a report of two classes: a small one with two detectors, and one of the whole input with
// a detector that crops.
func data(t *testing.T) (d report.Data, small, large drawn) {
	small, large = draw(48, 9, 8), draw(336, 3, 2)
	return report.Data{
		Head: report.Head{
			Title:   "Plates & \"holes\"",
			Intro:   []string{"First paragraph.", "Second <paragraph>."},
			Notes:   []string{"Note on columns."},
			Command: "evaluate -report out",
			Gallery: report.Gallery{Missed: 3, Alarms: 2, Typical: 3},
		},
		Classes: []report.Class{small.class(t, "plate", false, 3, 1.5), large.class(t, "large plate", true, 1)},
	}, small, large
}

func TestReport(t *testing.T) {
	d, small, large := data(t)
	dir := filepath.Join(t.TempDir(), "new", "out")
	require.NoError(t, report.Write(t.Context(), dir, d))
	p := readPage(t, dir)
	for _, want := range []string{"Plates &amp; ", "<p>First paragraph.</p>", "Second &lt;paragraph&gt;.", "<code>evaluate -report out</code>",
		"Escapes by kind of defect: spot ", "drawn plates; 224 x 224 px; masks: nearest, &gt;= 128;", "in brackets: 95 % interval, DeLong"} {
		require.Contains(t, p.text, want)
	}
	require.Equal(t, []string{"class-1", "class-2"}, p.sections)
	require.Equal(t, []string{"How to read the pictures", "Worst misses", "Worst false alarms", "Typical parts",
		"Worst misses", "Worst false alarms"}, p.headings, "the large class has no more parts than its five worst")

	// Worst first: what was shown is what was asked for, in that order, and is sorted.
	scores := d.Classes[0].Detectors[0].Scores
	require.Len(t, *small.loaded, 3+2+3)
	var names []string
	for _, i := range *small.loaded {
		names = append(names, small.samples[i].Name)
	}
	require.Equal(t, names, p.parts["class-1"])
	first := (*small.loaded)[0]
	for i, s := range small.samples {
		if s.Defective {
			require.GreaterOrEqual(t, scores[i], scores[first], "%s is a worse miss", s.Name)
		}
	}
	for k, i := range (*small.loaded)[:5] {
		require.Equal(t, k < 3, small.samples[i].Defective)
		if k > 0 && k != 3 {
			before := scores[(*small.loaded)[k-1]]
			require.True(t, k < 3 && scores[i] >= before || k > 3 && scores[i] <= before)
		}
	}

	// The head has the bar; a class its plots, the bar, and its parts: four panels, and one for
	// each further detector. In the page no panel is larger than it needs to be.
	require.Len(t, p.images, 1+(4+1+8*5)+(3+1+5*4))
	require.Len(t, *large.loaded, 5)
	for _, img := range p.images {
		if strings.HasPrefix(img.alt, "image of") {
			require.Contains(t, []int{48, 320}, img.config.Width)
		}
	}

	// The files beside it.
	for _, f := range []string{"roc.png", "precision-recall.png", "histogram-1.png", "histogram-2.png"} {
		require.Equal(t, image.Pt(662, 518), decodeFile(t, dir, "plate", f).Bounds().Size(), f)
	}
	rows, err := filepath.Glob(filepath.Join(dir, "plate", "gallery", "*.png"))
	require.NoError(t, err)
	require.Len(t, rows, 8)
	require.Contains(t, rows[0], fmt.Sprintf("01-missed-%03d.png", first))
	decodeFile(t, rows[0])
	rows, err = filepath.Glob(filepath.Join(dir, "large-plate", "gallery", "*.png"))
	require.NoError(t, err)
	require.Len(t, rows, 5)
	require.Greater(t, decodeFile(t, rows[0]).Bounds().Dx(), 4*336, "at its full size")
}

// What is there is on the page as soon as it is saved, and the report goes on.
func TestSave(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{Missed: 1}
	dir, whole := t.TempDir(), t.TempDir()
	w, err := report.Create(dir, d.Head)
	require.NoError(t, err)
	defer w.Close()
	require.ErrorIs(t, w.Save(), report.ErrData)
	require.NoError(t, w.Add(t.Context(), d.Classes[0]))
	require.NoError(t, w.Save())
	require.Equal(t, []string{"class-1"}, readPage(t, dir).sections)
	require.NoError(t, w.Add(t.Context(), d.Classes[1]))
	require.NoError(t, w.Finish())
	require.NoError(t, report.Write(t.Context(), whole, d))
	require.Equal(t, readPage(t, whole).text, readPage(t, dir).text)

	w, err = report.Create(dir, d.Head)
	require.NoError(t, err)
	d.Classes[0].Notes = []string{"Something is missing."}
	require.NoError(t, w.Add(t.Context(), d.Classes[0]))
	w.Say("A class failed.")
	require.NoError(t, w.Finish())
	text := readPage(t, dir).text
	require.Contains(t, text, "<p>A class failed.</p>")
	require.Contains(t, text, "<p>Something is missing.</p>")
}

func TestAnEarlierReportIsReplaced(t *testing.T) {
	d, _, _ := data(t)
	d.Classes = d.Classes[:1]
	dir := t.TempDir()
	require.NoError(t, report.Write(t.Context(), dir, d))
	gallery := filepath.Join(dir, "plate", "gallery")
	mine := filepath.Join(gallery, "notes.png")
	require.NoError(t, os.WriteFile(mine, nil, 0o666))
	d.Gallery = report.Gallery{Missed: 1}
	require.NoError(t, report.Write(t.Context(), dir, d))
	left, err := filepath.Glob(filepath.Join(gallery, "*"))
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.Contains(t, left, mine, "a file of another kind is let be")
}

// Each part is let go before the next is asked for.
func TestOnePartIsInMemoryAtATime(t *testing.T) {
	d, _, _ := data(t)
	d.Classes = d.Classes[:1]
	c := &d.Classes[0]
	load := c.Load
	var before []weak.Pointer[image.RGBA]
	most := 0
	c.Load = func(ctx context.Context, i int) (report.Item, error) {
		runtime.GC()
		alive := 0
		for _, w := range before {
			if w.Value() != nil {
				alive++
			}
		}
		most = max(most, alive)
		it, err := load(ctx, i)
		before = append(before, weak.Make(it.Image.(*image.RGBA)))
		return it, err
	}
	require.NoError(t, report.Write(t.Context(), t.TempDir(), d))
	require.Len(t, before, 8)
	require.LessOrEqual(t, most, 1)
}

func TestNamesCannotBreakOut(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{Missed: 1}
	d.Classes = append(d.Classes, d.Classes[0], d.Classes[0])
	d.Classes[0].Name = `../<script>alert("1")</script>`
	d.Classes[2].Name = `Plate`
	d.Classes[3].Name = `plate`
	for i := range d.Classes[0].Samples {
		d.Classes[0].Samples[i].Name = `x"><img src=y onerror=z>/..` + "\u202e|\n"
		d.Classes[0].Samples[i].Kind = "</figure>"
	}
	root := t.TempDir()
	dir := filepath.Join(root, "out")
	require.NoError(t, report.Write(t.Context(), dir, d))
	p := readPage(t, dir) // would find an element too many
	require.Contains(t, p.text, "&lt;script&gt;")
	found, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, found, 1)
	for _, folder := range []string{"-_script_alert__1____script_", "large-plate", "Plate", "plate-2"} {
		require.DirExists(t, filepath.Join(dir, strings.ReplaceAll(folder, "_", "-")))
	}
}

func TestFailures(t *testing.T) {
	broken := errors.New("disk on fire")
	det := func(d *report.Data) *report.Detector { return &d.Classes[0].Detectors[0] }
	item := func(d *report.Data, change func(*report.Item)) {
		load := d.Classes[0].Load
		d.Classes[0].Load = func(ctx context.Context, i int) (report.Item, error) {
			it, err := load(ctx, i)
			change(&it)
			return it, err
		}
	}
	for name, c := range map[string]struct {
		change func(*report.Data)
		is     error
		says   string
	}{
		"no title":       {func(d *report.Data) { d.Title = "" }, report.ErrData, "no title"},
		"no classes":     {func(d *report.Data) { d.Classes = nil }, report.ErrData, "no classes"},
		"gallery":        {func(d *report.Data) { d.Gallery.Alarms = -1 }, report.ErrData, "negative"},
		"class twice":    {func(d *report.Data) { d.Classes[1].Name = "plate" }, report.ErrData, "class plate: data do not fit: the class is there already"},
		"class unnamed":  {func(d *report.Data) { d.Classes[0].Name = "" }, report.ErrData, "the class has no name"},
		"no detectors":   {func(d *report.Data) { d.Classes[0].Detectors = nil }, report.ErrData, "no detectors"},
		"detector twice": {func(d *report.Data) { det(d).Name = "PaDiM, pre-trained" }, report.ErrData, "used twice"},
		"few scores":     {func(d *report.Data) { det(d).Scores = det(d).Scores[1:] }, metrics.ErrLength, "class plate: PaDiM, ImageNet"},
		"NaN score":      {func(d *report.Data) { det(d).Scores[2] = math.NaN() }, metrics.ErrNaN, "class plate"},
		"infinite score": {func(d *report.Data) { det(d).Scores[2] = math.Inf(1) }, report.ErrData, "spot/002.png is +Inf"},
		"NaN threshold":  {func(d *report.Data) { det(d).Threshold = math.NaN() }, metrics.ErrNaN, "threshold"},
		"no source":      {func(d *report.Data) { det(d).ThresholdFrom = "" }, report.ErrData, "where the threshold comes from"},
		"one class": {func(d *report.Data) {
			d.Classes[0].Samples = d.Classes[0].Samples[:9]
			det(d).Scores = det(d).Scores[:9]
		}, metrics.ErrOneClass, "class plate"},
		"beside itself": {func(d *report.Data) { det(d).Beside = det(d).Name }, report.ErrData, `PaDiM, ImageNet is to be compared with "PaDiM, ImageNet"`},
		"beside none":   {func(d *report.Data) { det(d).Beside = "x" }, report.ErrData, `want another detector`},
		"few values":    {func(d *report.Data) { det(d).Seeds = nil }, report.ErrData, "figure pixel AUROC has 3 values for 0 seeds"},
		"figure twice":  {func(d *report.Data) { det(d).Figures[1].Name = "image AUROC" }, report.ErrData, `two figures "image AUROC"`},
		"no protocol":   {func(d *report.Data) { det(d).Figures[1].Protocol.Mask = "" }, metrics.ErrProtocol, "pixel AUROC: metrics: protocol: Mask"},
		"scale":         {func(d *report.Data) { det(d).Scale = heatmap.Scale{} }, heatmap.ErrScale, "class plate"},
		"NaN line":      {func(d *report.Data) { det(d).Line = math.NaN() }, report.ErrData, "line of the maps is NaN"},
		"load": {func(d *report.Data) {
			d.Classes[0].Load = func(context.Context, int) (report.Item, error) { return report.Item{}, broken }
		}, broken, "class plate: plate/test/spot/"},
		"no image": {func(d *report.Data) { item(d, func(it *report.Item) { it.Image = nil }) }, report.ErrData, "no image"},
		"one map":  {func(d *report.Data) { item(d, func(it *report.Item) { it.Maps = it.Maps[:1] }) }, report.ErrData, "1 maps for 2 detectors"},
		"mask size": {func(d *report.Data) {
			item(d, func(it *report.Item) { it.Mask = image.NewGray(image.Rect(0, 0, 3, 4)) })
		}, heatmap.ErrSize, "the mask is (3,4), the image (48,48)"},
		"map size": {func(d *report.Data) {
			item(d, func(it *report.Item) { it.Maps[1] = downstream.Map{W: 1, H: 1, Data: []float32{1}} })
		}, heatmap.ErrSize, "PaDiM, pre-trained: the map is 1x1"},
		"map of nothing": {func(d *report.Data) {
			item(d, func(it *report.Item) { it.Whole, it.Maps[0].Rect.MaxX = true, -1 })
		}, downstream.ErrImage, "covers nothing"},
		"NaN in a map": {func(d *report.Data) {
			item(d, func(it *report.Item) { it.Maps[0].Data[100] = float32(math.NaN()) })
		}, heatmap.ErrNotFinite, "class plate"},
	} {
		d, _, _ := data(t)
		c.change(&d)
		dir := t.TempDir()
		old := filepath.Join(dir, "report.html")
		require.NoError(t, os.WriteFile(old, []byte("earlier"), 0o666))
		err := report.Write(t.Context(), dir, d)
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, "report: ", name)
		b, err := os.ReadFile(old)
		require.NoError(t, err)
		require.Equal(t, "earlier", string(b), "%s: a failure leaves the earlier page as it was", name)
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		require.NoError(t, err)
		require.Empty(t, left, name)
	}
}

// A class that fails can be left out: the page is that of the others.
func TestTheReportGoesOnAfterAClassThatFails(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{Missed: 1, Alarms: 1}
	broken := d.Classes[0]
	broken.Name = "broken"
	load, calls := broken.Load, 0
	broken.Load = func(ctx context.Context, i int) (report.Item, error) {
		if calls++; calls == 2 {
			return report.Item{}, os.ErrNotExist
		}
		return load(ctx, i)
	}
	with, without := t.TempDir(), t.TempDir()
	require.NoError(t, report.Write(t.Context(), without, d))
	w, err := report.Create(with, d.Head)
	require.NoError(t, err)
	require.NoError(t, w.Add(t.Context(), d.Classes[0]))
	require.ErrorIs(t, w.Add(t.Context(), broken), os.ErrNotExist)
	require.NoError(t, w.Add(t.Context(), d.Classes[1]))
	require.NoError(t, w.Finish())
	require.Equal(t, readPage(t, without).text, readPage(t, with).text)

	require.NoError(t, w.Close())
	require.ErrorIs(t, w.Add(t.Context(), broken), report.ErrData)
	require.ErrorIs(t, w.Finish(), report.ErrData)
}

func TestCancelled(t *testing.T) {
	d, small, _ := data(t)
	ctx, cancel := context.WithCancel(t.Context())
	load := d.Classes[0].Load
	d.Classes[0].Load = func(ctx context.Context, i int) (report.Item, error) {
		cancel()
		return load(ctx, i)
	}
	dir := t.TempDir()
	require.ErrorIs(t, report.Write(ctx, dir, d), context.Canceled)
	require.Len(t, *small.loaded, 1)
	require.NoFileExists(t, filepath.Join(dir, "report.html"))
}

// Thresholds that nothing or everything reaches are said in words and drawn without a line.
func TestInfiniteThresholds(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{}
	d.Classes[0].Detectors[0].Threshold = math.Inf(1)
	d.Classes[0].Detectors[1].Threshold = math.Inf(-1)
	dir := t.TempDir()
	require.NoError(t, report.Write(t.Context(), dir, d))
	text := readPage(t, dir).text
	require.Contains(t, text, "At a threshold that nothing reaches, on these very images 9 of 9 defective parts escape (100.00 %) and 0 of 8 good parts are overkill (0.00 %).")
	require.Contains(t, text, "At a threshold that everything reaches, on these very images 0 of 9 defective parts escape (0.00 %) and 8 of 8 good parts are overkill (100.00 %).")
	b, err := os.ReadFile(filepath.Join(dir, "table.json"))
	require.NoError(t, err)
	require.Contains(t, string(b), `"threshold": null`)
}

func TestAClassWithoutPictures(t *testing.T) {
	d, _, _ := data(t)
	for i := range d.Classes {
		d.Classes[i].Load = nil
		d.Classes[i].Detectors[0].Scale = heatmap.Scale{} // is of the gallery alone
	}
	dir := t.TempDir()
	require.NoError(t, report.Write(t.Context(), dir, d))
	p := readPage(t, dir)
	require.Len(t, p.images, 4+3)
	require.Empty(t, p.parts)
}
