// Nightly asks whether a calibrated detector still holds, on labelled parts that were
// set aside, and ends with status 1 if it does not. It adds a line to a log of nights.
//
//	nightly -weights plant.safetensors -detector pcb.padim -data ROOT -overkill 0.05 -escape 0.1 -log nights.csv
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

var errNoLonger = errors.New("the detector no longer holds")

func main() {
	weights := flag.String("weights", "", "weights of the network")
	file := flag.String("detector", "", "fitted and calibrated PaDiM")
	data := flag.String("data", "", "labelled parts, in any layout")
	overkill := flag.Float64("overkill", 0.05, "largest rate of good parts to be rejected")
	escape := flag.Float64("escape", 0.1, "largest rate of defects to be shipped")
	nights := flag.String("log", "nights.csv", "file to which the night is added")
	flag.Parse()
	cut, err := count(context.Background(), *weights, *file, *data)
	if err == nil {
		err = errors.Join(note(*nights, cut), hold(cut, *overkill, *escape))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// count scores all labelled parts of the split test and counts what the verdicts do.
func count(ctx context.Context, weights, file, data string) (cut metrics.Cut, err error) {
	net, err := backbone.Open(weights, tensor.CPU)
	if err != nil {
		return cut, err
	}
	defer net.Close()
	detector, err := downstream.OpenPaDiM(ctx, file, net)
	if err != nil {
		return cut, err
	}
	defer detector.Close()
	calibration, err := detector.Calibration()
	if err != nil {
		return cut, err
	}
	all, closer, err := dataset.Open(ctx, data, dataset.DefaultConfig())
	if err != nil {
		return cut, err
	}
	defer closer.Close()
	parts := dataset.Filter(all, func(it dataset.Item) bool { return it.IsLabelled() && it.Split == dataset.Test })
	var scores []float64
	var defective []bool
	for part, err := range detector.ScoreSet(ctx, parts) {
		if err != nil {
			return cut, err
		}
		scores, defective = append(scores, part.Score), append(defective, part.IsDefective())
	}
	return metrics.CutAt(scores, defective, calibration.Threshold())
}

// hold returns an error where even the lower end of a rate's interval is above what is
// allowed: so few parts say it by chance once in forty nights at most.
func hold(cut metrics.Cut, overkill, escape float64) error {
	fmt.Println(cut)
	for _, rate := range []struct {
		what      string
		of, among int
		allowed   float64
	}{{"overkill", cut.Overkilled, cut.Good, overkill}, {"escape", cut.Missed, cut.Defects, escape}} {
		if rate.among == 0 {
			continue
		}
		in, err := metrics.ClopperPearson(rate.of, rate.among, 0.95)
		if err != nil {
			return err
		}
		fmt.Printf("%s %.1f %% (%.1f to %.1f), allowed are %.1f %%\n", rate.what, 100*in.Value, 100*in.Low, 100*in.High, 100*rate.allowed)
		if in.Low > rate.allowed {
			return fmt.Errorf("%w: %s is above %.1f %%", errNoLonger, rate.what, 100*rate.allowed)
		}
	}
	return nil
}

// note adds a line to the log.
func note(name string, cut metrics.Cut) (err error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = fmt.Fprintf(f, "%s,%d,%d,%d,%d\n", time.Now().UTC().Format(time.DateOnly), cut.Good, cut.Overkilled, cut.Defects, cut.Missed)
	return err
}
