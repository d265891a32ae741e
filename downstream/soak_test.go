//go:build soak

package downstream_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

var (
	soakFor  = flag.Duration("soak", time.Minute, "how long TestSoak goes on")
	soakSeed = flag.Uint64("soak.seed", 1, "seed of what TestSoak does")
)

const (
	soakers   = 32 // goroutines
	soakCells = 2  // detectors of each kind that they share
	soakSets  = 3  // sets that are fitted on
)

// soak is a run of TestSoak.
type soak struct {
	t     testing.TB
	kinds []*soakKind
	sets  []dataset.Dataset
	more  dataset.Dataset // for updates
	held  dataset.Dataset // for calibrations
	test  []image.Image
	dir   string // on a usual disk
	full  string // on a disk that is full, or empty
	files atomic.Int64

	ops      tally
	compared atomic.Int64
	worst    atomic.Uint64 // of the differences, in 1e-12
	failed   chan error    // the first faults
	stop     chan struct{}
	once     sync.Once
}

// soakKind is a kind of detector.
type soakKind struct {
	name  string
	make  func() (subject, error)
	read  func(ctx context.Context, r io.Reader) (subject, error)
	wants [][][]float32 // answers of every model that there may be, for each test image
	cells [soakCells]soakCell
}

// soakCell holds a detector that may be exchanged at any time.
type soakCell struct {
	mu       sync.Mutex
	now      subject
	updating sync.Mutex // no two updates without a Fit between them
}

func (c *soakCell) get() subject {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *soakCell) exchange(s subject) (old subject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, c.now = c.now, s
	return old
}

// TestSoak lets goroutines do at random what a service does with detectors, and
// what goes wrong in one. Run it with -tags soak; -soak says how long.
func TestSoak(t *testing.T) {
	threads := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: threads.Cores, PerRun: 1}))
	defer func() { require.NoError(t, tensor.SetThreads(threads)) }()
	s := newSoak(t)
	s.learnAnswers()
	s.fill()
	start := readState(t)
	seen := s.run(*soakFor)
	var faults []error
	for _, k := range s.kinds {
		for i := range k.cells {
			faults = append(faults, k.cells[i].exchange(subject{}).Close())
		}
	}
	s.fill() // as many detectors as at the start, none fitted
	end := settled(t, start)
	for _, k := range s.kinds {
		for i := range k.cells {
			faults = append(faults, k.cells[i].exchange(subject{}).Close())
		}
	}
	for done := false; !done; {
		select {
		case err := <-s.failed:
			faults = append(faults, err)
		default:
			done = true
		}
	}
	t.Logf("seed %d, %s, %d goroutines\n%s", *soakSeed, *soakFor, soakers, s.ops.String())
	t.Logf("%d answers compared, the worst differs by %.1e", s.compared.Load(), float64(s.worst.Load())*1e-12)
	t.Logf("start %v, end %v", start, end)
	t.Logf("RSS in windows of %s, MB: %v; threads: %v", *soakFor/soakWindows, seen.rss, seen.threads)
	require.NoError(t, errors.Join(faults...))
	require.Positive(t, s.compared.Load())
	require.Equal(t, start.live, end.live, "native tensors were leaked")
	require.LessOrEqual(t, end.goroutines, start.goroutines, "goroutines were leaked")
	require.Equal(t, start.files, end.files, "files were leaked")
	for _, dir := range []string{s.dir, s.full} {
		if dir != "" {
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left, "a Save has left something behind")
		}
	}
	seen.requireFlat(t)
}

// quietTB makes helpers of tests that clean up themselves leave it to the soak.
type quietTB struct{ testing.TB }

func (quietTB) Cleanup(func()) {}

func newSoak(t testing.TB) *soak {
	s := &soak{t: t, dir: t.TempDir(), full: fullDisk(t), failed: make(chan error, 10), stop: make(chan struct{})}
	for i := range uint64(soakSets) {
		s.sets = append(s.sets, memory(t, textures(5+int(i), 300+i, fakeSide)))
	}
	s.more, s.test = memory(t, textures(3, 310, fakeSide)), textures(5, 311, fakeSide)
	s.held = memory(t, textures(6, 312, fakeSide))
	tb := quietTB{t}
	r := newTiny(tb, &fake{}, regadConfig())
	require.NoError(t, r.Train(t.Context(), products()))
	trained := written(t, r)
	require.NoError(t, r.Close())
	all := subjects()
	made := func(name string) func() (subject, error) {
		return func() (subject, error) { return all[name](tb), nil }
	}
	regad := func(ctx context.Context, r io.Reader) (subject, error) {
		return asSubject(tb, func() (*downstream.RegAD, error) { return readTiny(ctx, r, nil) })
	}
	s.kinds = []*soakKind{
		{name: "PaDiM", make: made("PaDiM"), read: func(ctx context.Context, r io.Reader) (subject, error) {
			return asSubject(tb, func() (*downstream.PaDiM, error) { return downstream.ReadPaDiM(ctx, r, &fake{scale: 1}) })
		}},
		{name: "PatchCore", make: made("PatchCore"), read: func(ctx context.Context, r io.Reader) (subject, error) {
			return asSubject(tb, func() (*downstream.PatchCore, error) { return downstream.ReadPatchCore(ctx, r, &fake{scale: 1}) })
		}},
		{name: "RD4AD", make: made("RD4AD"), read: func(ctx context.Context, r io.Reader) (subject, error) {
			return asSubject(tb, func() (*downstream.RD4AD, error) { return downstream.ReadRD4AD(ctx, r, &fake{scale: 1}) })
		}},
		{name: "SimpleNet", make: made("SimpleNet"), read: func(ctx context.Context, r io.Reader) (subject, error) {
			return asSubject(tb, func() (*downstream.SimpleNet, error) { return downstream.ReadSimpleNet(ctx, r, &fake{scale: 1}) })
		}},
		{name: "RegAD", make: func() (subject, error) { return regad(t.Context(), bytes.NewReader(trained)) }, read: regad},
		{name: "classifier", make: made("classifier"), read: func(ctx context.Context, r io.Reader) (subject, error) {
			c, err := classify.Read(ctx, r, &pooler{scale: 1})
			if err != nil {
				return subject{}, err
			}
			return classifierSubject(tb, c, nil), nil
		}},
	}
	return s
}

// asSubject is the subject of a detector that make makes.
func asSubject[D resettable](tb testing.TB, make func() (D, error)) (subject, error) {
	d, err := make()
	if err != nil {
		return subject{}, err
	}
	return detectorSubject(tb, d, nil), nil
}

// fullDisk mounts a file system of a few pages, where that is allowed.
func fullDisk(t testing.TB) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Logf("no full disk (%v): Save meets none, WriteTo a writer that is full", err)
		return ""
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

// learnAnswers asks every model that there may be, one image at a time, while
// nothing else goes on.
func (s *soak) learnAnswers() {
	for _, k := range s.kinds {
		learn := func(d subject) {
			var answers [][]float32
			for _, img := range s.test {
				a, err := d.answer(tensor.WithThreads(s.t.Context(), 1), img)
				require.NoError(s.t, err)
				answers = append(answers, a[0])
			}
			k.wants = append(k.wants, answers)
		}
		for _, set := range s.sets {
			d, err := k.make()
			require.NoError(s.t, err)
			require.NoError(s.t, d.fit(s.t.Context(), set))
			learn(d)
			if p, ok := d.learner.(*downstream.PaDiM); ok {
				require.NoError(s.t, p.Update(s.t.Context(), s.more))
				learn(d)
			}
			if r, ok := d.learner.(*downstream.RegAD); ok { // another network: a Train begins with that of the file
				require.NoError(s.t, r.Train(s.t.Context(), products()))
				require.NoError(s.t, d.fit(s.t.Context(), set))
				learn(d)
			}
			require.NoError(s.t, d.Close())
		}
	}
}

// fill gives every cell a new detector.
func (s *soak) fill() {
	for _, k := range s.kinds {
		for i := range k.cells {
			d, err := k.make()
			require.NoError(s.t, err)
			k.cells[i].exchange(d)
		}
	}
}

// run lets the goroutines go on for a while and returns what was seen meanwhile.
func (s *soak) run(d time.Duration) *soakSeen {
	var wg sync.WaitGroup
	for i := range uint64(soakers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(*soakSeed, i))
			for {
				select {
				case <-s.stop:
					return
				default:
				}
				s.act(rng)
			}
		}()
	}
	seen := watch(s.t, d, s.stop)
	s.once.Do(func() { close(s.stop) })
	wg.Wait()
	return seen
}

// fault keeps an error and ends the run.
func (s *soak) fault(err error) {
	select {
	case s.failed <- err:
	default:
	}
	s.once.Do(func() { close(s.stop) })
}

// allowed counts an operation and is a fault for an error that may not be.
func (s *soak) allowed(k *soakKind, op string, err error, may ...error) bool {
	s.ops.add(k.name, op, err)
	if err == nil {
		return true
	}
	for _, m := range may {
		if errors.Is(err, m) {
			return false
		}
	}
	s.fault(fmt.Errorf("%s of %s: %w", op, k.name, err))
	return false
}

// holds compares answers to the test images at some places with those of every
// model: they must all be of one.
func (s *soak) holds(k *soakKind, op string, at []int, got [][]float32) {
	best := 1.0
	for _, want := range k.wants {
		worst := 0.0
		for i, a := range at {
			worst = max(worst, difference(want[a], got[i]))
		}
		best = min(best, worst)
	}
	s.compared.Add(int64(len(at)))
	for v := uint64(best * 1e12); ; {
		old := s.worst.Load()
		if v <= old || s.worst.CompareAndSwap(old, v) {
			break
		}
	}
	if len(got) != len(at) || !(best <= batchTolerance) {
		s.fault(fmt.Errorf("%s of %s: a wrong answer, by %.1e of the nearest model's", op, k.name, best))
	}
}

// difference is relative without a test; whatever cannot be compared is 1.
func difference(want, got []float32) float64 {
	if len(want) != len(got) {
		return 1
	}
	top, diff := 0.0, 0.0
	for i := range want {
		d := float64(want[i]) - float64(got[i])
		if d != d {
			return 1
		}
		top, diff = max(top, float64(want[i]), -float64(want[i])), max(diff, d, -d)
	}
	return min(diff/top, 1)
}

// act does one thing at random.
func (s *soak) act(rng *rand.Rand) {
	k := s.kinds[rng.IntN(len(s.kinds))]
	cell := &k.cells[rng.IntN(soakCells)]
	d := cell.get()
	switch p := rng.IntN(100); {
	case p < 40:
		s.score(k, d, rng)
	case p < 55:
		s.scoreSet(k, d, rng)
	case p < 70:
		s.fit(k, d, rng)
	case p < 76:
		s.update(k, cell, d, rng)
	case p < 84:
		s.save(k, d, rng)
	case p < 88:
		_, err := d.WriteTo(&fullWriter{room: rng.IntN(4000)})
		s.allowed(k, "write to what is full", err, syscall.ENOSPC, downstream.ErrNotFitted, downstream.ErrClosed)
	case p < 94:
		s.calibrate(k, d, rng)
	case p < 95:
		s.allowed(k, "reset", d.Reset(s.t.Context()), downstream.ErrClosed)
	case p < 98:
		s.train(k, d, rng)
	default:
		n, err := k.make()
		if s.allowed(k, "new", err) {
			old := cell.exchange(n)
			s.allowed(k, "close", errors.Join(old.Close(), old.Close()))
			_, err := old.answer(s.t.Context(), s.test[0])
			if !errors.Is(err, downstream.ErrClosed) {
				s.fault(fmt.Errorf("%s answers after Close: %v", k.name, err))
			}
		}
	}
}

// unready is what a detector says that may have been reset or closed meanwhile.
func unready(more ...error) []error {
	return append(more, downstream.ErrNotFitted, downstream.ErrNotTrained, downstream.ErrClosed)
}

func (s *soak) score(k *soakKind, d subject, rng *rand.Rand) {
	at := rng.Perm(len(s.test))[:1+rng.IntN(len(s.test))]
	var imgs []image.Image
	for _, i := range at {
		imgs = append(imgs, s.test[i])
	}
	if rng.IntN(10) == 0 {
		ctx, cancel := context.WithCancel(s.t.Context())
		cancel()
		_, err := d.answer(ctx, imgs...)
		if err == nil {
			s.fault(fmt.Errorf("%s answers in spite of its context", k.name))
		}
		s.allowed(k, "score, cancelled", err, unready(context.Canceled)...)
		return
	}
	got, err := d.answer(s.t.Context(), imgs...)
	if s.allowed(k, "score", err, unready()...) {
		s.holds(k, "score", at, got)
	}
}

func (s *soak) scoreSet(k *soakKind, d subject, rng *rand.Rand) {
	var ds dataset.Dataset = memory(quietTB{s.t}, s.test)
	op, may, end := "score set", unready(), len(s.test)
	switch rng.IntN(3) {
	case 0:
		op, may = "score set that breaks", unready(errBroken)
		ds = &troubled{Dataset: ds, after: rng.IntN(len(s.test)), trouble: func() error { return errBroken }}
	case 1:
		op, end = "score set, left", rng.IntN(len(s.test))
	}
	var got [][]float32
	var at []int
	for a, err := range d.answerSet(s.t.Context(), ds) {
		if !s.allowed(k, op, err, may...) {
			break
		}
		at, got = append(at, len(got)), append(got, a)
		if len(got) > end {
			break
		}
	}
	if len(got) > 0 {
		s.holds(k, op, at, got)
	}
}

// calibrate is for detectors. Some are cancelled, some meet a broken data set; a result
// of before or after decides by what its detector had.
func (s *soak) calibrate(k *soakKind, d subject, rng *rand.Rand) {
	det, ok := d.learner.(detector)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	op, may, ds := "calibrate", unready(), s.held
	at := rng.IntN(ds.Len())
	switch rng.IntN(4) {
	case 0:
		op, may = "calibrate, cancelled", unready(context.Canceled)
		ds = &troubled{Dataset: ds, after: at, trouble: func() error { cancel(); return nil }}
	case 1:
		op, may = "calibrate on what breaks", unready(errBroken)
		ds = &troubled{Dataset: ds, after: at, trouble: func() error { return errBroken }}
	}
	c, err := det.Calibrate(ctx, ds, metrics.Conformal(0.2))
	if s.allowed(k, op, err, may...) && len(c.Good()) != ds.Len() {
		s.fault(fmt.Errorf("%s is calibrated on %d of %d parts", k.name, len(c.Good()), ds.Len()))
	}
	_, err = det.Recalibrate(s.t.Context(), metrics.Overkill(0.2))
	s.allowed(k, "recalibrate", err, unready(downstream.ErrNotCalibrated)...)
	results, err := det.Score(s.t.Context(), s.test[0])
	if !s.allowed(k, "score", err, unready()...) {
		return
	}
	v, err := results[0].Verdict()
	if s.allowed(k, "verdict", err, downstream.ErrNotCalibrated) && (v.Reject != (v.Score >= v.Threshold) || v.Good != ds.Len()) {
		s.fault(fmt.Errorf("%s decides wrongly: %s", k.name, v))
	}
}

var errBroken = errors.New("the data set is broken")

// troubled is a data set that does something before sample after is read.
type troubled struct {
	dataset.Dataset
	after   int
	trouble func() error
}

func (d *troubled) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i == d.after {
		if err := d.trouble(); err != nil {
			return dataset.Sample{}, err
		}
	}
	return d.Dataset.Sample(ctx, i)
}

// fit fits on one of the sets; some are cancelled, some meet a broken data set.
func (s *soak) fit(k *soakKind, d subject, rng *rand.Rand) bool {
	ds := s.sets[rng.IntN(soakSets)]
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	op, may := "fit", unready()
	at := rng.IntN(ds.Len())
	switch rng.IntN(4) {
	case 0:
		op, may = "fit, cancelled", unready(context.Canceled)
		ds = &troubled{Dataset: ds, after: at, trouble: func() error { cancel(); return nil }}
	case 1:
		op, may = "fit on what breaks", unready(errBroken)
		ds = &troubled{Dataset: ds, after: at, trouble: func() error { return errBroken }}
	}
	return s.allowed(k, op, d.fit(ctx, ds), may...)
}

// update is for PaDiM; others are fitted.
func (s *soak) update(k *soakKind, cell *soakCell, d subject, rng *rand.Rand) {
	p, ok := d.learner.(*downstream.PaDiM)
	if !ok || !cell.updating.TryLock() {
		return
	}
	defer cell.updating.Unlock()
	if d.learner != cell.get().learner { // another's lock is this cell's no more
		return
	}
	if s.allowed(k, "fit", p.Fit(s.t.Context(), s.sets[rng.IntN(soakSets)]), unready()...) {
		s.allowed(k, "update", p.Update(s.t.Context(), s.more), unready()...)
	}
}

// train is for RegAD, whose network it makes anew, the same one.
func (s *soak) train(k *soakKind, d subject, rng *rand.Rand) {
	r, ok := d.learner.(*downstream.RegAD)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var others dataset.Dataset = products()
	if rng.IntN(2) == 0 {
		others = &troubled{Dataset: others, after: rng.IntN(others.Len()), trouble: func() error { cancel(); return nil }}
	}
	s.allowed(k, "train", r.Train(ctx, others), context.Canceled, downstream.ErrClosed)
}

// save writes a detector to a disk that has room or not and reads it back.
func (s *soak) save(k *soakKind, d subject, rng *rand.Rand) {
	dir, may := s.dir, unready()
	if s.full != "" && rng.IntN(3) == 0 {
		dir, may = s.full, unready(syscall.ENOSPC)
	}
	path := filepath.Join(dir, fmt.Sprint(s.files.Add(1)))
	if !s.allowed(k, "save", d.Save(path), may...) {
		return
	}
	defer func() {
		if err := os.Remove(path); err != nil {
			s.fault(err)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		s.fault(err)
		return
	}
	defer f.Close()
	q, err := k.read(s.t.Context(), f)
	if !s.allowed(k, "open", err) {
		return
	}
	i := rng.IntN(len(s.test))
	got, err := q.answer(s.t.Context(), s.test[i])
	// A RegAD is saved after Train, too.
	if s.allowed(k, "score what was saved", err, downstream.ErrNotFitted) {
		s.holds(k, "score what was saved", []int{i}, got)
	}
	s.allowed(k, "close", q.Close())
}

// fullWriter takes some bytes and is full then.
type fullWriter struct{ room int }

func (w *fullWriter) Write(b []byte) (int, error) {
	if len(b) > w.room {
		n := w.room
		w.room = 0
		return n, &os.PathError{Op: "write", Path: "full", Err: syscall.ENOSPC}
	}
	w.room -= len(b)
	return len(b), nil
}

// settled waits for what ends by itself and returns what is left then.
func settled(t testing.TB, start soakState) (end soakState) {
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		end = readState(t)
		if end.goroutines <= start.goroutines && end.files <= start.files || time.Now().After(deadline) {
			return end
		}
	}
}
