package sweep

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
)

// oldRecord is a line of results.jsonl, in which sweeps kept their results before
// records.jsonl. Such files are read and never written.
type oldRecord struct {
	Version    int       `json:"version"`
	Network    string    `json:"network"`
	Seed       uint64    `json:"seed"`
	Share      float64   `json:"share"`
	SHA256     string    `json:"weights_sha256"`
	Set        string    `json:"set"`
	Class      string    `json:"class"`
	Detector   string    `json:"detector"`
	Draw       string    `json:"draw"`
	Defective  []bool    `json:"defective"`
	Scores     []float64 `json:"scores"`
	ImageAUROC float64   `json:"image_auroc"`
	PixelAUROC *float64  `json:"pixel_auroc"`
	AUPRO      *float64  `json:"aupro"`
	Failed     string    `json:"failed"`
}

const (
	oldVersion = 1
	maxOldLine = 16 << 20 // bytes
	maxOld     = 1 << 17  // records
)

// oldResults are what such a file holds.
type oldResults struct {
	failures []string // of trainings, a line each
	done     map[string]evaluate.Record
}

func doneKey(network string, seed uint64, share float64, sha256, set, detector, draw string) string {
	return fmt.Sprint(network, "\x00", seed, "\x00", share, "\x00", sha256, "\x00", set, "\x00", detector, "\x00", draw)
}

// find returns the record of a fit that is in the results.
func (o oldResults) find(v study.Variant, sha256 string, s study.Set, f study.Fit) (evaluate.Record, bool) {
	r, ok := o.done[doneKey(v.Name, v.Seed, v.Share, sha256, s.ID, f.Name, f.Seed.String())]
	return r, ok
}

// openOld reads a file, which need not be there.
func openOld(path string) (oldResults, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return oldResults{}, nil
	}
	if err != nil {
		return oldResults{}, err
	}
	defer f.Close()
	o, err := readOld(f)
	if err != nil {
		return o, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// readOld leaves out a last line without an end, as a process that was killed leaves it
// and one that is writing may.
func readOld(r io.Reader) (oldResults, error) {
	o := oldResults{done: map[string]evaluate.Record{}}
	in := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return o, fmt.Errorf("line %d: %w", n, err)
		}
		if n > maxOld {
			return o, fmt.Errorf("%w: more than %d results", evaluate.ErrRecords, maxOld)
		}
		var r oldRecord
		if err := json.Unmarshal(line, &r); err != nil {
			return o, fmt.Errorf("line %d: %w: %w", n, evaluate.ErrRecords, err)
		}
		if r.Version != oldVersion || len(r.Scores) != len(r.Defective) {
			return o, fmt.Errorf("line %d: %w: version %d, %d scores and %d labels, want version %d", n, evaluate.ErrRecords, r.Version, len(r.Scores), len(r.Defective), oldVersion)
		}
		if r.Failed != "" {
			o.failures = append(o.failures, failedLine(r.Network, r.Seed, r.Failed))
			continue
		}
		o.done[doneKey(r.Network, r.Seed, r.Share, r.SHA256, r.Set, r.Detector, r.Draw)] = r.record()
	}
}

// record has what tables need.
func (r oldRecord) record() evaluate.Record {
	return evaluate.Record{
		Class: r.Class, Method: r.Detector, Seed: r.Draw, ImageAUROC: r.ImageAUROC, PixelAUROC: r.PixelAUROC, AUPRO: r.AUPRO, WeightsSHA256: r.SHA256,
		Training: &evaluate.Training{Name: r.Network, Seed: r.Seed, Share: r.Share}, Images: &evaluate.Images{Scores: r.Scores, Defective: r.Defective},
	}
}

// readLine returns a line without its end; io.EOF also for a line without one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxOldLine {
			return nil, fmt.Errorf("%w: longer than %d bytes", evaluate.ErrRecords, maxOldLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return line[:len(line)-1], nil
	}
}
