// Command quickstart shows the whole way of the library without any data or
// weights: it draws images of six industrial products, pre-trains a ResNet-18
// on the good ones against language anchors, fits PaDiM with the network as it
// was before and as it is after, scores drawn defects with both, and writes a
// page of heat maps.
//
//	go run ./examples/quickstart
//
// Training sees good images and twins that package synth makes of them, never a
// drawn defect. It asks at every position whether the part is good or damaged;
// -recipe paper trains the article's objective instead. All seeds are fixed; what
// is printed is what came out, also where pre-training loses.
//
// The language anchors come from bank.safetensors, which bank.py made with the
// sentence encoder all-MiniLM-L6-v2 (Apache-2.0) in place of CLIP's text
// encoder; -clip FILE takes a real CLIP.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/examples/internal/process"
)

func main() { process.Main("quickstart: ", nil, run) }

// run is the program: it returns when the page is written.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dev, err := set.reading.Start()
	if err != nil {
		return err
	}
	out, err := outputFolder(set.out)
	if err != nil {
		return err
	}
	log := &progress{w: stdout, start: time.Now()}
	log.say("%d drawn products, %dx%d pixels, seed %d, device %s", len(drawn.Classes()), set.size, set.size, set.seed, dev)
	rep := set.report(dev)
	if err := measure(ctx, rep, set, dev, log); err != nil {
		return err
	}
	rep.Seconds = time.Since(log.start).Seconds()
	if err := rep.WriteTable(stdout); err != nil {
		return err
	}
	page, sheet, err := rep.Save(out, "quickstart")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nHeat maps: %s\n           %s\n", page, sheet)
	return log.err
}

// outputFolder makes the folder that was asked for, or a new one among the
// temporary files, and returns its full path.
func outputFolder(dir string) (string, error) {
	if dir == "" {
		d, err := os.MkdirTemp("", "gotab-quickstart-")
		if err != nil {
			return "", fmt.Errorf("folder for the heat maps: %w; name one with -out DIR", err)
		}
		return d, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("-out: %w", err)
	}
	return filepath.Abs(dir)
}

// progress prints lines with the time since the start. The first failure to
// print is kept.
type progress struct {
	w     io.Writer
	start time.Time
	err   error
}

func (p *progress) say(format string, args ...any) {
	line := fmt.Sprintf("%5.1f s  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
	if _, err := io.WriteString(p.w, line); err != nil && p.err == nil {
		p.err = err
	}
}
