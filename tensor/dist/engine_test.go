package dist_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/ranktest"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

// childTask names what a process that is not the test does; its rank is in the
// environment, as torchrun has it.
const childTask = "GOTAB_DIST_TASK"

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(tensor.Threads{Cores: 2, PerRun: 1}); err != nil {
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
	if task == "hang" || task == "stopped" {
		cfg.Timeout = 2 * time.Second
	}
	g, err := dist.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	last := g.Rank() == g.Size()-1
	switch task {
	case "calls":
		return calls(ctx, g)
	case "train":
		h, err := train(ctx, g)
		fmt.Println(h)
		return err
	}
	for i := 0; ; i++ {
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

// process is a rank in a process of its own.
type process struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	stdin io.Closer
}

// start starts n ranks of a task.
func start(t *testing.T, task string, n int) []*process {
	t.Helper()
	if !dist.Built() {
		t.Skip("built without the engine; `make test-dist` builds it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	out := make([]*process, n)
	for r := range out {
		p := &process{cmd: exec.Command(os.Args[0])}
		p.cmd.Env = append(os.Environ(), childTask+"="+task, "RANK="+strconv.Itoa(r), "WORLD_SIZE="+strconv.Itoa(n),
			"MASTER_ADDR=127.0.0.1", "MASTER_PORT="+strconv.Itoa(port))
		p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
		p.stdin, err = p.cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, p.cmd.Start())
		t.Cleanup(func() { _ = p.cmd.Process.Kill() })
		out[r] = p
	}
	return out
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
