// Layout reads pictures that a line writes into one folder, as CLASS-SERIAL-ok.png and
// CLASS-SERIAL-ng.png, and lists what is there.
//
//	CGO_ENABLED=0 go run ./layout -data FOLDER
package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
)

// Line is the folder as a data set.
type Line struct {
	fsys  fs.FS
	items []dataset.Item
}

// OpenLine lists the pictures of a folder.
func OpenLine(fsys fs.FS) (*Line, error) {
	names, err := fs.Glob(fsys, "*-*-*.png")
	if err != nil {
		return nil, err
	}
	l := &Line{fsys: fsys}
	for _, name := range names {
		parts := strings.Split(strings.TrimSuffix(name, ".png"), "-")
		it := dataset.Item{Name: name, Class: parts[0], Group: parts[1]}
		switch parts[2] {
		case "ok":
			it.Label, it.Defect = dataset.LabelGood, dataset.Good
		case "ng":
			it.Label, it.Defect = dataset.LabelDefective, "ng"
		} // others have no label, and are scored only
		l.items = append(l.items, it)
	}
	if len(l.items) == 0 {
		return nil, fmt.Errorf("line: %w: no CLASS-SERIAL-ok.png in it", dataset.ErrLayout)
	}
	return l, nil
}

// Len implements dataset.Dataset.
func (l *Line) Len() int { return len(l.items) }

// Classes implements dataset.Dataset.
func (l *Line) Classes() []string {
	var names []string
	for _, it := range l.items {
		names = append(names, it.Class)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Item implements dataset.Dataset.
func (l *Line) Item(i int) dataset.Item {
	if i < 0 || i >= len(l.items) {
		return dataset.Item{}
	}
	return l.items[i]
}

// Sample implements dataset.Dataset.
func (l *Line) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i < 0 || i >= len(l.items) {
		return dataset.Sample{}, fmt.Errorf("line: sample %d: %w", i, dataset.ErrIndex)
	}
	if err := ctx.Err(); err != nil {
		return dataset.Sample{}, err
	}
	f, err := l.fsys.Open(l.items[i].Name)
	if err != nil {
		return dataset.Sample{}, err
	}
	defer f.Close()
	img, err := dataset.Decode(f)
	if err != nil {
		return dataset.Sample{}, fmt.Errorf("line: %s: %w", l.items[i].Name, err)
	}
	return dataset.Sample{Item: l.items[i], Image: img}, nil
}

func main() {
	data := flag.String("data", ".", "folder of the line")
	flag.Parse()
	if err := list(context.Background(), *data); err != nil {
		log.Fatal(err)
	}
}

func list(ctx context.Context, folder string) error {
	line, err := OpenLine(os.DirFS(folder))
	if err != nil {
		return err
	}
	for i := range line.Len() {
		s, err := line.Sample(ctx, i)
		if err != nil {
			return err
		}
		fmt.Println(s.Class, s.Group, s.Label, s.Image.Rect.Size())
	}
	return nil
}
