package dist_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/ranktest"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

// childTask names what a process that is not the test does; its rank is in the
// environment, as torchrun has it.
const childTask = "GOTAB_DIST_TASK"

// threadsOfARank is how many threads such a process computes with, 1 where it is not set.
const threadsOfARank = "GOTAB_DIST_THREADS"

// checkpointFile names the checkpoint of such a process.
const checkpointFile = "GOTAB_DIST_CHECKPOINT"

var (
	kills    = flag.Int("kills", 2, "how often TestKilledRanks kills a rank")
	killSeed = flag.Uint64("kills.seed", 1, "which ranks, and when")
	costs    = flag.Bool("cost", false, "measure what the calls cost, what a group of one does, and how well two ranks share")
	rounds   = flag.Int("cost.rounds", 7, "rounds of the measurements in which two sides take turns")
)

func TestMain(m *testing.M) {
	threads := 1
	if n, err := strconv.Atoi(os.Getenv(threadsOfARank)); err == nil {
		threads = n
	}
	if err := tensor.SetThreads(tensor.Threads{Cores: max(2, threads), PerRun: threads}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	dist.SetBeat(100 * time.Millisecond)
	if task := os.Getenv(childTask); task != "" {
		if err := child(task); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is one rank.
func child(task string) (err error) {
	ctx := context.Background()
	cfg, _, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	cfg.Timeout = 20 * time.Second
	if task == "hang" || task == "stopped" || task == "cut" {
		cfg.Timeout = 6 * time.Second // for the meeting too
	}
	g, err := dist.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	last := g.Rank() == g.Size()-1
	if task == "interrupted" {
		return interruptedCalls(ctx, g, last)
	}
	switch task {
	case "calls":
		return calls(ctx, g)
	case "run":
		return longRun(ctx, g)
	case "cost":
		return cost(ctx, g)
	case "pace":
		return pace(ctx, g)
	case "train":
		h, err := train(ctx, g)
		fmt.Println(h)
		return err
	}
	for i := 0; ; i++ {
		if task == "first leaves" && g.Rank() == 0 && i == 3 {
			return nil
		}
		if last && i == 3 {
			switch task {
			case "dies":
				return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("still here"))
			case "stopped":
				if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
					return err
				}
				fallthrough // the signal takes its time
			case "hang":
				_, _ = io.Copy(io.Discard, os.Stdin) // until the test lets go of it
				return nil
			case "leaves":
				return nil
			}
		}
		if err := g.Sum(ctx, make([]float32, 1000)); err != nil {
			return err
		}
		if i == 200 && task == "cut" { // by bench/ranks-net.sh
			fmt.Println("call 200")
		}
	}
}

// interruptedCalls makes calls without end; the last rank gives up waiting in call 3, for the others come when it has.
func interruptedCalls(ctx context.Context, g *dist.Group, last bool) error {
	for i := 1; ; i++ {
		if i == 3 && last {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			err := g.Sum(ended, make([]float32, 1000))
			fmt.Println("gave up")
			return err
		}
		if i == 3 {
			_, _ = io.Copy(io.Discard, os.Stdin)
		}
		if err := g.Sum(ctx, make([]float32, 1000)); err != nil {
			return err
		}
	}
}

// calls holds every call against what it must give.
func calls(ctx context.Context, g *dist.Group) error {
	r, n := g.Rank(), g.Size()
	v := make([]float32, 100_003)
	for i := range v {
		v[i] = float32(i%7) + float32(r)
	}
	if err := g.Sum(ctx, v); err != nil {
		return err
	}
	for i := range v {
		if want := float32(n*(i%7) + n*(n-1)/2); v[i] != want {
			return fmt.Errorf("value %d of the sum is %g, want %g", i, v[i], want)
		}
	}
	for _, size := range []int{0, 3, 1016, 1017, 70_000} {
		all, err := g.Gather(ctx, bytes.Repeat([]byte{byte('a' + r)}, r*size))
		if err != nil {
			return err
		}
		for k, b := range all {
			if !bytes.Equal(b, bytes.Repeat([]byte{byte('a' + k)}, k*size)) {
				return fmt.Errorf("of %d bytes rank %d gave %d", k*size, k, len(b))
			}
		}
	}
	b := []byte(strconv.Itoa(r + 5))
	if err := g.Broadcast(ctx, n-1, b); err != nil || string(b) != strconv.Itoa(n+4) {
		return fmt.Errorf("the broadcast is %q: %w", b, err)
	}
	return g.Barrier(ctx)
}

// picture is noise.
func picture(rng *rand.Rand) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.IntN(200)) | 255*uint8(i%4/3)
	}
	return m
}

// train trains a short network for a few steps and returns a hash of its weights.
func train(ctx context.Context, g tab.Group) (hash string, err error) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s []dataset.Sample
	for i := range 8 {
		s = append(s, dataset.Sample{Item: dataset.Item{Name: strconv.Itoa(i), Class: "cloth", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: picture(rng)})
	}
	ds, err := dataset.NewMemory(s)
	if err != nil {
		return "", err
	}
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(3, 4)))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	c := tab.DefaultConfig()
	c.Objective, c.Epochs, c.Batch, c.Repeat, c.LR, c.Workers = tab.Classification{}, 1, 4, 1, 1e-2, 1
	c.Transform = dataset.Square(32)
	p, err := tab.New(tab.Parts{Visual: net, Synth: synth.ScarCutPaste()}, c, tab.WithGroup(g))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if _, err := p.Fit(ctx, ds); err != nil {
		return "", err
	}
	arrays, err := net.Params().Arrays(ctx)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, a := range arrays {
		h.Write(a.Data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// small is a network of one convolution.
type small struct{ params *tensor.Params }

func newSmall(ctx context.Context) (small, error) {
	m := small{tensor.NewParams(tensor.CPU)}
	return m, tensor.Run(ctx, tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		return errors.Join(
			m.params.Put(s, "conv", s.ChannelsLast(s.FromFloats(testutil.Draw("conv", 4*3*4*4), 4, 3, 4, 4))),
			m.params.Put(s, "gamma", s.Full(1, tensor.Float32, 4)),
			m.params.Put(s, "beta", s.Zeros(4)),
			m.params.PutBuffer(s, "mean", s.Zeros(4)),
			m.params.PutBuffer(s, "variance", s.Full(1, tensor.Float32, 4)))
	})
}

func (m small) Params() *tensor.Params        { return m.params }
func (m small) Device() tensor.Device         { return tensor.CPU }
func (m small) Channels(l backbone.Layer) int { return 4 }

func (m small) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) (out []*tensor.Tensor) {
		get := m.params.Get
		y := s.Conv2d(s.ChannelsLast(x), get("conv"), nil, tensor.Conv{Stride: 4})
		y = s.ReLU(s.BatchNorm(y, get("gamma"), get("beta"), get("mean"), get("variance"), s.Mode() == tensor.Training, 0.1, 1e-5))
		for range at {
			out = append(out, s.GlobalAvgPool(y))
		}
		return out
	})
}

// longRun trains many short epochs, from the checkpoint where there is one, and says
// each step and, in the end, a hash of the weights.
func longRun(ctx context.Context, g *dist.Group) (err error) {
	path := os.Getenv(checkpointFile)
	rng := rand.New(rand.NewPCG(1, 2))
	var s []dataset.Sample
	for i := range 8 {
		s = append(s, dataset.Sample{Item: dataset.Item{Name: strconv.Itoa(i), Class: "cloth", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: picture(rng)})
	}
	ds, err := dataset.NewMemory(s)
	if err != nil {
		return err
	}
	net, err := newSmall(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.params.Close()) }()
	c := tab.DefaultConfig()
	c.Objective, c.Epochs, c.Batch, c.Repeat, c.LR, c.Workers = tab.Classification{}, 60, 4, 1, 1e-2, 1
	c.Transform = dataset.Square(32)
	parts := tab.Parts{Visual: net, Synth: synth.ScarCutPaste()}
	opts := []tab.Option{tab.WithGroup(g), tab.WithCheckpoint(path)}
	var p *tab.Pretrainer
	if _, statErr := os.Stat(path); statErr == nil {
		p, err = tab.Resume(path, parts, opts...)
	} else {
		p, err = tab.New(parts, c, opts...)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for st, err := range p.Steps(ctx, ds) {
		if err != nil {
			return err
		}
		fmt.Println("step", st.Number)
	}
	arrays, err := net.params.Arrays(ctx)
	if err != nil {
		return err
	}
	h := sha256.New()
	for _, a := range arrays {
		h.Write(a.Data)
	}
	fmt.Println("weights", hex.EncodeToString(h.Sum(nil)))
	return nil
}

// cost measures what it costs to sum the gradients of a ResNet-18.
func cost(ctx context.Context, g *dist.Group) error {
	const n, rounds = 11_180_000, 10
	v := make([]float32, n)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return 0
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for round := range rounds + 1 {
		start, before := time.Now(), cpu()
		for at := 0; at < n; at += 25 << 18 {
			if err := g.Sum(ctx, v[at:min(n, at+25<<18)]); err != nil {
				return err
			}
		}
		wall, used := time.Since(start), cpu()-before
		start, before = time.Now(), cpu()
		for range 100 {
			if _, err := g.Gather(ctx, v4[:]); err != nil {
				return err
			}
		}
		if round > 0 && g.Rank() == 0 {
			fmt.Printf("sum of %d values: %v, processor %v; a gather of 4 bytes: %v, processor %v\n", n, wall, used, time.Since(start)/100, (cpu()-before)/100)
		}
	}
	return nil
}

var v4 = [4]byte{1, 2, 3, 4}

// process is a rank in a process of its own.
type process struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	stdin io.Closer
	mu    sync.Mutex
	when  func(so string) bool
	heard chan struct{}
}

// listen closes heard when what the process has said is what one waits for. A later
// call replaces an earlier one that still waits.
func (p *process) listen(when func(so string) bool, heard chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard == heard && p.when == nil {
		return // it has been closed
	}
	p.when, p.heard = when, heard
	p.ask()
}

func (p *process) ask() {
	if p.when != nil && p.when(p.out.String()) {
		close(p.heard)
		p.when = nil
	}
}

// Write takes what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	p.ask()
	return len(b), nil
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts n ranks of a task, with more in their environment.
func start(t *testing.T, task string, n int, more ...string) []*process {
	t.Helper()
	port := freePort(t)
	out := make([]*process, n)
	for r := range out {
		out[r] = startRank(t, task, r, n, port, more...)
	}
	return out
}

// startRank starts one rank.
func startRank(t *testing.T, task string, rank, n, port int, more ...string) *process {
	t.Helper()
	if !dist.Built() {
		t.Skip("built without the engine; `make test-dist` builds it")
	}
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childTask+"="+task, "RANK="+strconv.Itoa(rank), "WORLD_SIZE="+strconv.Itoa(n),
		"MASTER_ADDR=127.0.0.1", "MASTER_PORT="+strconv.Itoa(port))
	p.cmd.Env = append(p.cmd.Env, more...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// A rank that comes again while the group that has lost it is about to end waits for
// the next one.
func TestProcessesComeAgain(t *testing.T) {
	if !dist.Built() {
		t.Skip("built without the engine; `make test-dist` builds it")
	}
	port := freePort(t)
	old := []*process{startRank(t, "dies", 0, 2, port), startRank(t, "dies", 1, 2, port)}
	require.Error(t, old[1].cmd.Wait())
	again := startRank(t, "calls", 1, 2, port) // the old rank 0 finds out who is lost
	require.Error(t, old[0].cmd.Wait())
	first := startRank(t, "calls", 0, 2, port)
	require.NoError(t, again.cmd.Wait(), &again.out)
	require.NoError(t, first.cmd.Wait(), &first.out)
}

// Agents of torchrun count restarts each for itself, so that ranks come with different counts.
func TestProcessesOfSeveralAgentsMeet(t *testing.T) {
	port := freePort(t)
	first := startRank(t, "calls", 0, 2, port, "TORCHELASTIC_RESTART_COUNT=0")
	second := startRank(t, "calls", 1, 2, port, "TORCHELASTIC_RESTART_COUNT=1")
	require.NoError(t, first.cmd.Wait(), &first.out)
	require.NoError(t, second.cmd.Wait(), &second.out)
}

// A store of another PyTorch takes connections and breaks off what it does not understand, or waits for more of it. That
// is said at once where torchrun's agent serves it.
func TestAStoreOfAnotherVersion(t *testing.T) {
	if !dist.Built() {
		t.Skip("built without the engine; `make test-dist` builds it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	var silent atomic.Bool
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if silent.Load() {
				defer c.Close()
				continue
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-ended
	})
	c := dist.Config{Rank: 1, Size: 2, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Timeout: time.Second}
	for _, served := range []bool{false, true} {
		c.Served = served
		if served {
			c.Timeout = 24 * time.Hour // nobody waits for its end
		}
		_, err = dist.Connect(t.Context(), c)
		require.ErrorIs(t, err, dist.ErrLost)
		require.NotContains(t, err.Error(), "earlier group")
		require.Contains(t, err.Error(), "libtorch "+tensor.LibtorchVersion())
		require.Contains(t, err.Error(), "onnection") // the cause, in libtorch's words
		require.Equal(t, served, strings.Contains(err.Error(), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"))
	}
	silent.Store(true)
	_, err = dist.Connect(t.Context(), c)
	require.ErrorIs(t, err, dist.ErrLost)
	require.ErrorContains(t, err, "no answer for 1s")
	require.ErrorContains(t, err, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1")
}

func TestProcessesCall(t *testing.T) {
	for _, n := range []int{2, 3} {
		for r, p := range start(t, "calls", n) {
			require.NoError(t, p.cmd.Wait(), "rank %d of %d: %s", r, n, &p.out)
		}
	}
}

// Two processes over the engine train what two goroutines do, to the bit.
func TestProcessesTrain(t *testing.T) {
	ps := start(t, "train", 2)
	want := make(chan string, 2)
	for _, g := range ranktest.New(2, time.Minute) {
		go func() {
			h, err := train(t.Context(), g)
			want <- fmt.Sprint(h, err)
		}()
	}
	first := <-want
	require.Equal(t, first, <-want)
	require.Len(t, first, 64+len("<nil>"))
	for r, p := range ps {
		require.NoError(t, p.cmd.Wait(), "rank %d: %s", r, &p.out)
		require.Equal(t, strings.TrimSuffix(first, "<nil>"), strings.TrimSpace(p.out.String()))
	}
}

// A rank that dies, hangs, is stopped or leaves is named by all others.
func TestProcessesNameTheLost(t *testing.T) {
	for task, says := range map[string]string{
		"dies": "rank 2: dead or cut off", "hang": "rank 2: alive and has not come", "stopped": "rank 2: dead or cut off", "leaves": "rank 2: has left",
	} {
		t.Run(task, func(t *testing.T) {
			ps := start(t, task, 3)
			for r, p := range ps[:2] {
				var exit *exec.ExitError
				require.ErrorAs(t, p.cmd.Wait(), &exit, "rank %d: %s", r, &p.out)
				require.Contains(t, p.out.String(), says, "rank %d", r)
				require.Contains(t, p.out.String(), "sum of 1000 values (call 4)", "rank %d", r)
				require.NotContains(t, p.out.String(), "rank 1:", "rank %d", r)
			}
			require.NoError(t, ps[2].stdin.Close())
			if task == "stopped" {
				require.NoError(t, ps[2].cmd.Process.Kill())
			}
			_ = ps[2].cmd.Wait() // killed, or it has nothing to say
		})
	}
}

// A rank that was interrupted, and found nobody to tell, is named when the others come.
func TestProcessesNameTheInterrupted(t *testing.T) {
	ps := start(t, "interrupted", 3)
	gaveUp := make(chan struct{})
	ps[2].listen(func(so string) bool { return strings.Contains(so, "gave up") }, gaveUp)
	<-gaveUp
	for _, p := range ps {
		require.NoError(t, p.stdin.Close())
	}
	for r, p := range ps {
		var exit *exec.ExitError
		require.ErrorAs(t, p.cmd.Wait(), &exit, "rank %d: %s", r, &p.out)
		if r < 2 {
			require.Contains(t, p.out.String(), "rank 2: was interrupted", "rank %d", r)
		}
	}
	require.Contains(t, ps[2].out.String(), context.Canceled.Error())
}

// So is rank 0, which serves the store that the others read it in.
func TestProcessesNameTheFirst(t *testing.T) {
	ps := start(t, "first leaves", 3)
	require.NoError(t, ps[0].cmd.Wait(), &ps[0].out)
	for r, p := range ps[1:] {
		var exit *exec.ExitError
		require.ErrorAs(t, p.cmd.Wait(), &exit, "rank %d: %s", r+1, &p.out)
		require.Contains(t, p.out.String(), "rank 0: has left", "rank %d", r+1)
		require.NotContains(t, p.out.String(), "the store", "rank %d", r+1)
	}
}

// A rank that is killed anywhere in a run leaves a checkpoint from which the run ends as
// one that nobody disturbed, to the bit.
func TestKilledRanks(t *testing.T) {
	weights := func(ps []*process) (hash string) {
		for r, p := range ps {
			require.NoError(t, p.cmd.Wait(), "rank %d: %s", r, &p.out)
			_, last, found := strings.Cut(p.out.String(), "weights ")
			require.True(t, found, p.out.String())
			require.True(t, hash == "" || hash == last)
			hash = last
		}
		return hash
	}
	want := weights(start(t, "run", 2, checkpointFile+"="+filepath.Join(t.TempDir(), "whole.ckpt")))
	rng := rand.New(rand.NewPCG(*killSeed, 0))
	named, resumed := 0, 0
	for done := 0; done < *kills; {
		path := filepath.Join(t.TempDir(), "run.ckpt")
		for kill := 0; ; kill++ { // until the run comes to its end
			ps := start(t, "run", 2, checkpointFile+"="+path)
			if kill == 3 || done == *kills {
				require.Equal(t, want, weights(ps))
				break
			}
			victim, line := rng.IntN(2), 1+rng.IntN(30)
			died := make(chan struct{})
			// Killed when the other rank has taken so many steps, and is wherever it is.
			other := ps[1-victim]
			heard := make(chan struct{})
			go func() {
				defer close(died)
				<-heard
				_ = ps[victim].cmd.Process.Kill()
			}()
			other.listen(func(so string) bool { return strings.Count(so, "step ") >= line || strings.Contains(so, "weights") }, heard)
			errVictim, errOther := ps[victim].cmd.Wait(), other.cmd.Wait()
			other.listen(func(string) bool { return true }, heard) // it says nothing more
			<-died
			if errVictim == nil && errOther == nil {
				break // it was over before
			}
			done++
			if errOther != nil && (strings.Contains(other.out.String(), fmt.Sprintf("rank %d: dead", victim)) || victim == 0 && strings.Contains(other.out.String(), "the store")) {
				named++
			} else {
				t.Logf("kill %d of rank %d: %s", done, victim, lastLine(other.out.String()))
			}
			if _, err := os.Stat(path); err == nil {
				resumed++
			}
		}
	}
	t.Logf("%d ranks were killed; the other one named them %d times; %d left a checkpoint, and all runs ended with the same weights", *kills, named, resumed)
	require.Equal(t, *kills, named)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func TestCosts(t *testing.T) {
	if !*costs {
		t.Skip("it goes by the clock; -cost asks for it")
	}
	for r, p := range start(t, "cost", 2) {
		require.NoError(t, p.cmd.Wait(), "rank %d: %s", r, &p.out)
		t.Log(p.out.String())
	}
}

// pacer trains a ResNet-18 on one batch of its own, again and again.
type pacer struct {
	p   *tab.Pretrainer
	net *backbone.ResNet18
	b   tab.Batch
}

// newPacer has a share of a batch of so many pairs of px x px; g may be nil.
func newPacer(ctx context.Context, g tab.Group, pairs, px int) (*pacer, error) {
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(3, 4)))
	if err != nil {
		return nil, err
	}
	c := tab.DefaultConfig()
	c.Objective, c.Batch, c.Transform, c.LR = tab.Classification{Binary: true}, pairs, dataset.Square(px), 1e-4
	var opts []tab.Option
	if g != nil {
		opts, pairs = append(opts, tab.WithGroup(g)), pairs/g.Size()
	}
	p, err := tab.New(tab.Parts{Visual: net, Synth: synth.ScarCutPaste()}, c, opts...)
	if err != nil {
		return nil, errors.Join(err, net.Close())
	}
	if err := p.Prepare(ctx, []string{"cloth"}); err != nil {
		return nil, errors.Join(err, p.Close(), net.Close())
	}
	b := tab.Batch{H: px, W: px, Class: make([]int, pairs)}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, v := range []*[]float32{&b.Normal, &b.Abnormal} {
		*v = make([]float32, pairs*px*px*3)
		for i := range *v {
			(*v)[i] = float32(rng.NormFloat64())
		}
	}
	return &pacer{p, net, b}, nil
}

func (s *pacer) close() error { return errors.Join(s.p.Close(), s.net.Close()) }

// step takes one and returns how long it took.
func (s *pacer) step(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	_, err := s.p.Step(ctx, s.b)
	return time.Since(start), err
}

// pace says how long the steps of a rank take.
func pace(ctx context.Context, g tab.Group) error {
	s, err := newPacer(ctx, g, 16, 128)
	if err != nil {
		return err
	}
	var took []float64
	for i := range 8 {
		d, err := s.step(ctx)
		if err != nil {
			return errors.Join(err, s.close())
		}
		if i >= 2 { // what comes first makes memory and kernels
			took = append(took, d.Seconds())
		}
	}
	fmt.Println("seconds a step", median(took))
	return s.close()
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// A step with a group of one beside a step without any, in turns.
func TestOverheadOfOne(t *testing.T) {
	if !*costs {
		t.Skip("it goes by the clock; -cost asks for it")
	}
	alone, err := newPacer(t.Context(), nil, 8, 96)
	require.NoError(t, err)
	g, err := dist.Connect(t.Context(), dist.Config{Size: 1, Timeout: time.Minute, Host: "127.0.0.1", Port: 29500})
	require.NoError(t, err)
	one, err := newPacer(t.Context(), g, 8, 96)
	require.NoError(t, err)
	var a, b, ratios []float64
	for i := range 10 * *rounds {
		sides := []*pacer{alone, one}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		took := map[*pacer]float64{}
		for _, s := range sides {
			d, err := s.step(t.Context())
			require.NoError(t, err)
			took[s] = d.Seconds()
		}
		if i >= 4 {
			a, b, ratios = append(a, took[alone]), append(b, took[one]), append(ratios, took[one]/took[alone])
		}
	}
	t.Logf("A step without a group takes %.1f ms, with a group of one %.1f ms: %+.1f %%, the median of %d pairs (their quarters: %+.1f %% to %+.1f %%).", 1e3*median(a), 1e3*median(b),
		100*(median(ratios)-1), len(ratios), 100*(quarter(ratios, 1)-1), 100*(quarter(ratios, 3)-1))
	require.NoError(t, errors.Join(alone.close(), one.close(), g.Close()))
}

func quarter(v []float64, k int) float64 { return slices.Sorted(slices.Values(v))[len(v)*k/4] }

// Two ranks of one core each beside one rank of two cores, on the same batch, in turns.
func TestEfficiencyOfTwo(t *testing.T) {
	if !*costs {
		t.Skip("it goes by the clock; -cost asks for it")
	}
	seconds := func(n, threads int) float64 {
		var s float64
		for r, p := range start(t, "pace", n, fmt.Sprintf("%s=%d", threadsOfARank, threads)) {
			require.NoError(t, p.cmd.Wait(), "rank %d: %s", r, &p.out)
			_, v, found := strings.Cut(p.out.String(), "seconds a step ")
			require.True(t, found, &p.out)
			x, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			require.NoError(t, err)
			s = max(s, x)
		}
		return s
	}
	var one, two, ratios []float64
	for range *rounds {
		a, b := seconds(1, 2), seconds(2, 1)
		one, two, ratios = append(one, a), append(two, b), append(ratios, a/b)
	}
	t.Logf("A step of 16 pairs of 128x128 takes one rank of two cores %.3f s and two ranks of one core %.3f s: an efficiency of %.0f %%, the median of %d pairs (%.0f %% to %.0f %%).",
		median(one), median(two), 100*median(ratios), len(ratios), 100*slices.Min(ratios), 100*slices.Max(ratios))
}
