package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

//go:embed page.html
var pageText string

// page writes parts of report.html, in the order in which it is read.
type page struct {
	w         io.Writer
	templates *template.Template
}

func newPage(w io.Writer) (*page, error) {
	templates, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	return &page{w, templates}, nil
}

func (p *page) execute(name string, view any) error {
	return p.templates.ExecuteTemplate(p.w, name, view)
}

// begin writes what comes before the first class: the head, the table and, where the report shows
// any part, how to read the pictures.
func (p *page) begin(h Head, classes []Class, t table, shows bool) error {
	bar, err := heatmap.Bar(320, 14)
	if err != nil {
		return err
	}
	v := headView{Head: h, Table: t, Shows: shows}
	if v.Bar, err = inline(bar); err != nil {
		return err
	}
	for k, c := range classes {
		v.Links = append(v.Links, linkView{classID(k), c.Name})
	}
	return p.execute("head", v)
}

func (p *page) end() error { return p.execute("foot", nil) }

type headView struct {
	Head
	Links []linkView
	Table table
	Bar   template.URL
	Shows bool // parts
}

type linkView struct{ ID, Name string }

type classView struct {
	ID        string
	Name      string
	Notes     []string
	Good, Bad int
	Seeds     string // that all but the figures is of; empty where there is nothing to say
	Detectors []detectorView
	Plots     []plotView
	Two       bool // plots beside one another
}

type detectorView struct {
	Name       string
	Figures    []figureView
	Difference string // from another detector; may be empty
	Sentence   string
	Kinds      []string // escapes by kind of defect
}

type figureView struct{ Name, Value, Around string }

type plotView struct {
	Src        template.URL
	Alt, Title string
	W, H       int
}

// class opens a class: what the threshold does, the figures, the plots.
func (p *page) class(k int, c Class, pictures []picture) error {
	v := classView{ID: classID(k), Name: c.Name, Notes: c.Notes, Seeds: ofFirstSeeds(c), Two: len(pictures)%2 == 0}
	for _, s := range c.Samples {
		if s.Defective {
			v.Bad++
		} else {
			v.Good++
		}
	}
	for _, det := range c.Detectors {
		cut, err := det.cut(c)
		if err != nil {
			return err
		}
		d := detectorView{Name: det.Name, Sentence: sentence(cut, det), Kinds: kinds(c, det)}
		for _, f := range det.Figures {
			d.Figures = append(d.Figures, figureView{f.Name, percent(f.Value), strings.Join(around(f), ", ")})
		}
		diff, ok, err := c.difference(det)
		if err != nil {
			return err
		}
		if ok {
			d.Difference = "Difference: " + diff.String()
		}
		v.Detectors = append(v.Detectors, d)
	}
	for _, pic := range pictures {
		v.Plots = append(v.Plots, plotView{data("png", pic.png), pic.alt, pic.title,
			int(plotWide.Dots(plotDots) / 2), int(plotHigh.Dots(plotDots) / 2)})
	}
	return p.execute("class", v)
}

func classID(k int) string { return fmt.Sprintf("class-%d", k+1) }

// ofFirstSeeds says which seed the curves and pictures are of, where the figures are of several.
func ofFirstSeeds(c Class) string {
	if !slices.ContainsFunc(c.Detectors, func(det Detector) bool { return len(det.Seeds) > 1 }) {
		return ""
	}
	var of []string
	for _, det := range c.Detectors {
		s := "seed " + firstOf(det.Seeds)
		if len(c.Detectors) > 1 {
			s = det.Name + ", " + s
		}
		of = append(of, s)
	}
	return "The figures are means over the seeds. Thresholds, counts, curves and pictures are of one of them: " + strings.Join(of, "; ") + "."
}

// sentence says in the words of a plant what the threshold does to the images of the class.
func sentence(cut metrics.Cut, det Detector) string {
	at := fmt.Sprintf("At the threshold %.4g", det.Threshold)
	if math.IsInf(det.Threshold, 0) {
		at = "At a threshold that nothing reaches"
		if det.Threshold < 0 {
			at = "At a threshold that everything reaches"
		}
	}
	return fmt.Sprintf("%s, on these very images %d of %d defective parts escape (%s %%) and %d of %d good parts are overkill (%s %%). The threshold: %s.",
		at, cut.Missed, cut.Defects, percent(cut.EscapeRate()), cut.Overkilled, cut.Good, percent(cut.OverkillRate()),
		strings.TrimSuffix(det.ThresholdFrom, "."))
}

// kinds counts the escapes of each kind of defect, in the order of the samples; of one kind there
// is nothing to tell apart.
func kinds(c Class, det Detector) []string {
	var order []string
	all, missed := map[string]int{}, map[string]int{}
	for i, s := range c.Samples {
		if !s.Defective {
			continue
		}
		if all[s.Kind] == 0 {
			order = append(order, s.Kind)
		}
		all[s.Kind]++
		if det.verdict(s, det.Scores[i]).wrong {
			missed[s.Kind]++
		}
	}
	if len(order) < 2 {
		return nil
	}
	var out []string
	for _, k := range order {
		out = append(out, fmt.Sprintf("%s %d of %d", k, missed[k], all[k]))
	}
	return out
}

func (p *page) endClass() error { return p.execute("class-end", nil) }

type legendView struct {
	Bar    template.URL
	Scales []string
	Many   bool
	Shared bool   // some detectors have the scale of another
	First  string // detector
}

// legend writes what the colours of a class stand for.
func (p *page) legend(c Class) error {
	bar, err := heatmap.Bar(320, 14)
	if err != nil {
		return err
	}
	v := legendView{Many: len(c.Detectors) > 1, First: c.Detectors[0].Name}
	if v.Bar, err = inline(bar); err != nil {
		return err
	}
	for _, det := range c.Detectors {
		text := fmt.Sprintf("colours from %.4g to %.4g and above, white line %s", det.Scale.Low, det.Scale.High, det.lineIs())
		if v.Many {
			text = det.Name + ": " + text
		}
		if det.ScaleOf != "" {
			text += ", the scale of " + det.ScaleOf
			v.Shared = true
		}
		v.Scales = append(v.Scales, text)
	}
	return p.execute("legend", v)
}

// lineIs says what the line of the maps is.
func (det Detector) lineIs() string {
	switch det.Line {
	case det.Threshold:
		return "at the threshold"
	case det.Scale.Low:
		return "where they begin, which is no threshold"
	}
	return fmt.Sprintf("at %.4g, which is no threshold", det.Line)
}

// group opens a group of the gallery.
func (p *page) group(g group) error {
	return p.execute("group", struct{ Title, Text string }{g.title, g.text})
}

type partView struct {
	Name, Kind string
	Says       []sayView
	Panels     []panelView
	Columns    int
}

// sayView is what one detector makes of a part.
type sayView struct {
	Detector, Word string
	Wrong          bool
	Score          string
}

type panelView struct {
	Src        template.URL
	Alt, Title string
}

// part writes a row of the gallery.
func (p *page) part(c Class, i int, masked bool, panels []heatmap.Panel) error {
	s := c.Samples[i]
	v := partView{Name: s.Name, Kind: s.Kind}
	for _, det := range c.Detectors {
		w := det.verdict(s, det.Scores[i])
		say := sayView{Word: w.word, Wrong: w.wrong, Score: fmt.Sprintf("score %.4g, threshold %.4g", det.Scores[i], det.Threshold)}
		if len(c.Detectors) > 1 {
			say.Detector = det.Name
		}
		v.Says = append(v.Says, say)
	}
	for k, panel := range panels {
		src, err := inline(panel.Image)
		if err != nil {
			return err
		}
		title, alt := panel.Title, ""
		switch {
		case k == 0:
			alt = "image of " + s.Name
		case k == 1 && !s.Defective:
			title, alt = "truth: good", "the image of a good part, without a defect"
		case k == 1 && masked:
			alt = "the image with a blue line around the true defect"
		case k == 1:
			alt = "the image; where the defect is was not marked"
		case k == len(panels)-1:
			alt = "the image where the map is above the line, faded elsewhere"
		default:
			alt = "map of " + c.Detectors[k-2].Name + " over the image"
		}
		v.Panels = append(v.Panels, panelView{src, alt, title})
	}
	v.Columns = columns(len(panels))
	return p.execute("part", v)
}

// columns is how many of n panels stand side by side; the others go below them.
func columns(n int) int {
	const most = 6
	rows := (n + most - 1) / most
	return (n + rows - 1) / rows
}

// quality of JPEG is high enough that lines of one pixel stay sharp.
const quality = 92

// inline returns an image as an address that holds its bytes: as PNG, or as JPEG where that is
// shorter, as it is for photographs.
func inline(img image.Image) (template.URL, error) {
	var p, j bytes.Buffer
	if err := png.Encode(&p, img); err != nil {
		return "", err
	}
	if err := jpeg.Encode(&j, img, &jpeg.Options{Quality: quality}); err != nil {
		return "", err
	}
	if j.Len() < p.Len() {
		return data("jpeg", j.Bytes()), nil
	}
	return data("png", p.Bytes()), nil
}

func data(format string, b []byte) template.URL {
	return template.URL("data:image/" + format + ";base64," + base64.StdEncoding.EncodeToString(b))
}
