package dist

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist/internal/c10d"
)

// Group is this process's side of a group. It fits tab.Group. Calls come one at a time,
// in the same order on all ranks. Close it.
type Group struct {
	cfg    Config
	roster *roster     // nil for a group of one
	table  *bounded    // the store, as the roster asks it
	store  *c10d.Store // nil likewise
	engine *c10d.Group // nil likewise
	calls  int64       // made so far
	lost   error       // the first failure of a call
	mu     sync.Mutex  // of what follows
	closed bool
}

// Built says whether the engine is compiled in.
func Built() bool { return c10d.Built }

// answers is how many beats the store may take to answer.
const answers = 10

// beat is the time between signs of life. Tests shorten it.
var beat = time.Second

// Connect meets the other ranks. It waits for them for cfg.Timeout at most, then as long again where one that has come
// does not answer, and names in its error ([LostError]) those that are missing. The end of ctx ends it but for the
// last of these waits. Errors: [ErrConfig], [ErrNotBuilt], [ErrLost].
func Connect(ctx context.Context, cfg Config) (*Group, error) {
	switch err := cfg.Validate(); {
	case err != nil:
		return nil, err
	case ctx == nil:
		return nil, fmt.Errorf("dist: connect: %w: the context is nil; pass context.Background()", ErrConfig)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("dist: connect: %w", ctx.Err())
	}
	g := &Group{cfg: cfg}
	if cfg.Size == 1 {
		return g, nil
	}
	if !c10d.Built {
		return nil, fmt.Errorf("dist: connect as rank %d of %d: %w", cfg.Rank, cfg.Size, ErrNotBuilt)
	}
	fail := func(err error) (*Group, error) {
		return nil, fmt.Errorf("dist: connect as rank %d of %d to %s, port %d: %w", cfg.Rank, cfg.Size, cfg.Host, cfg.Port, err)
	}
	address := cfg.Interface
	if address == "" {
		var err error
		if address, err = cfg.address(); err != nil {
			return fail(err)
		}
	}
	until := time.Now().Add(cfg.Timeout)
	left := func() time.Duration { return max(time.Until(until), time.Second) }
	var err error
	if g.store, g.table, err = open(ctx, cfg, g.serves()); err != nil {
		return fail(err)
	}
	g.roster = newRoster(g.table, cfg.Rank, cfg.Size, beat)
	go g.roster.live()
	if err = g.roster.join(ctx, left()); err == nil {
		g.engine, err = c10d.OpenGroup(g.store, cfg.Rank, cfg.Size, address, cfg.Interface != "", cfg.Timeout)
		if err != nil {
			err = g.roster.who(ctx, &LostError{Rank: cfg.Rank, Size: cfg.Size, Doing: "connecting to the others", Cause: errors.New(firstLine(err))}, -1) // no call has been made
		}
	}
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// connects counts the calls of Connect in this process. In the store of torchrun's agent, which outlives a group, each
// meets under a name of its own, with the attempt: torchrun begins all processes anew. Rank 0's own store ends with its
// group and needs neither. The attempt would do harm there: each agent counts for itself, so that ranks of several differ.
var connects atomic.Int64

// refusals is how often a store that torchrun's agent serves may break off: it was there before this process.
const refusals = 3

// open connects to the store, which it returns with the table to ask it by. One in which this rank has come already is that of a
// group that is about to end: it waits for the next one. So it does where the port is taken, or nobody answers yet.
// What holds the connection and says nothing, or is an agent's and does not know what it is asked, gets no better.
func open(ctx context.Context, cfg Config, serves bool) (*c10d.Store, *bounded, error) {
	const try = 2 * time.Second // then ctx is asked again
	prefix := "gotab"
	if n := connects.Add(1); cfg.Served {
		prefix += fmt.Sprintf("/attempt_%d/%d", cfg.Attempt, n)
	}
	start := time.Now()
	var last error
	refused := 0 // times in a row
	for {
		left := cfg.Timeout - time.Since(start)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case left < time.Second && last != nil: // the first try is always made
			return nil, nil, last
		}
		s, err := c10d.OpenStore(cfg.Host, cfg.Port, serves, max(min(left, try), time.Second), cfg.Timeout, prefix)
		switch {
		case err != nil && serves:
			last = fmt.Errorf("%w: the store cannot be served on port %d: %s", ErrLost, cfg.Port, firstLine(err))
		case err != nil:
			last, refused = fmt.Errorf("%w: rank 0 (or torchrun's agent) does not answer: %s", ErrLost, firstLine(err)), 0
		default:
			t := &bounded{t: s, limit: answers * beat}
			old, err := t.Get(keyJoined + strconv.Itoa(cfg.Rank))
			switch {
			case err == nil && old == nil:
				return s, t, nil
			case err == nil:
				last, refused = fmt.Errorf("%w: the store there is that of an earlier group, which has not ended", ErrLost), 0
			case t.hung.Load(): // a thread waits in it, so that it stays open
				return nil, nil, stranger(cfg, fmt.Errorf("no answer for %v", t.limit))
			default:
				last = stranger(cfg, errors.New(firstLine(err)))
				if refused++; cfg.Served && refused == refusals {
					s.Close()
					return nil, nil, last
				}
			}
			s.Close()
		}
		wait(ctx, beat)
	}
}

// stranger is the error for what takes a connection and then does not talk as a store of this libtorch does.
func stranger(cfg Config, cause error) error {
	if !cfg.Served {
		return fmt.Errorf("%w: what listens there is no store that libtorch %s can ask: %w; is another program on this port, or a PyTorch of another version?", ErrLost, tensor.LibtorchVersion(), cause)
	}
	return fmt.Errorf("%w: the store of torchrun's agent does not understand libtorch %s: %w; a torchrun of another PyTorch needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment and --rdzv-backend c10d (or --standalone), so that rank 0 serves the store",
		ErrLost, tensor.LibtorchVersion(), cause)
}

// serves says whether the store is in this process.
func (g *Group) serves() bool { return g.cfg.Rank == 0 && !g.cfg.Served }

// Rank returns the number of this process.
func (g *Group) Rank() int { return g.cfg.Rank }

// Size returns the number of processes.
func (g *Group) Size() int { return g.cfg.Size }

// usable returns an error for a group that is closed, lost, or was not made by Connect.
func (g *Group) usable(doing string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed || g.cfg.Size < 1:
		return fmt.Errorf("dist: %s: %w", doing, ErrClosed)
	case g.lost != nil:
		return fmt.Errorf("dist: %s: the group is of no more use since: %w", doing, g.lost)
	}
	return nil
}

// slice is how long a wait goes on before the context is asked again.
const slice = 100 * time.Millisecond

// call makes one call of the engine and waits for its end.
func (g *Group) call(ctx context.Context, doing string, begin func() (*c10d.Work, error), end func(*c10d.Work) error) error {
	start := time.Now()
	g.calls++
	doing = fmt.Sprintf("%s (call %d)", doing, g.calls)
	gaveUp := false
	lose := func(err error) error {
		e := &LostError{Rank: g.cfg.Rank, Size: g.cfg.Size, Doing: doing, Waited: time.Since(start), Cause: err}
		if !gaveUp { // who has given up himself blames nobody
			e = g.roster.who(ctx, e, g.calls)
		} else {
			_ = g.roster.set(keyLeft, interrupted)
		}
		g.lost = e
		return e
	}
	if err := g.roster.set(keyAt, strconv.FormatInt(g.calls, 10)); err != nil {
		return lose(errors.New(firstLine(err)))
	}
	w, err := begin()
	if err != nil {
		return lose(errors.New(firstLine(err)))
	}
	defer w.Free()
	for {
		done, err := w.Wait(slice)
		switch {
		case err != nil:
			return lose(errors.New(firstLine(err)))
		case done:
			return end(w)
		case ctx.Err() != nil:
			gaveUp = true
			return lose(context.Cause(ctx))
		case time.Since(start) > g.cfg.Timeout+time.Second: // the engine's own comes first
			return lose(context.DeadlineExceeded)
		}
	}
}

// Sum replaces v by the sum over all ranks, the same to the bit on all of them.
func (g *Group) Sum(ctx context.Context, v []float32) error {
	if err := g.usable("sum"); err != nil || g.cfg.Size == 1 || len(v) == 0 {
		return err
	}
	return g.call(ctx, fmt.Sprintf("sum of %d values", len(v)),
		func() (*c10d.Work, error) { return g.engine.Sum(v) },
		func(w *c10d.Work) error { return w.Floats(v) })
}

// Broadcast overwrites v with that of one rank.
func (g *Group) Broadcast(ctx context.Context, from int, v []byte) error {
	if err := g.usable("broadcast"); err != nil {
		return err
	}
	if from < 0 || from >= g.cfg.Size {
		return fmt.Errorf("dist: broadcast: from is %d: %w: want a rank, 0 to %d", from, ErrConfig, g.cfg.Size-1)
	}
	if g.cfg.Size == 1 || len(v) == 0 {
		return nil
	}
	return g.call(ctx, fmt.Sprintf("broadcast of %d bytes of rank %d", len(v), from),
		func() (*c10d.Work, error) { return g.engine.Broadcast(from, v) },
		func(w *c10d.Work) error { return w.Bytes(v) })
}

// Barrier returns when all ranks have called it.
func (g *Group) Barrier(ctx context.Context) error {
	_, err := g.Gather(ctx, nil)
	return err
}

const (
	// frame is what a Gather exchanges at once: a length, and what fits beside it.
	frame = 1024
	// maxGather bounds what a rank may give, so that nobody makes others take memory
	// without bound.
	maxGather = 1 << 28
)

// Gather returns what each rank gave, at most 256 MB each; lengths may differ.
func (g *Group) Gather(ctx context.Context, v []byte) ([][]byte, error) {
	if err := g.usable("gather"); err != nil {
		return nil, err
	}
	if len(v) > maxGather {
		return nil, fmt.Errorf("dist: gather: %d bytes: %w: want %d at most", len(v), ErrConfig, maxGather)
	}
	if g.cfg.Size == 1 {
		return [][]byte{append([]byte{}, v...)}, nil
	}
	head := make([]byte, frame)
	binary.LittleEndian.PutUint64(head, uint64(len(v)))
	copy(head[8:], v)
	heads, err := g.gather(ctx, "gather", head)
	if err != nil {
		return nil, err
	}
	sizes, longest, err := lengths(heads)
	if err != nil {
		return nil, fmt.Errorf("dist: gather: %w", err)
	}
	out := make([][]byte, len(heads))
	if longest <= frame-8 {
		for i, h := range heads {
			out[i] = h[8 : 8+sizes[i] : 8+sizes[i]]
		}
		return out, nil
	}
	whole := make([]byte, longest)
	copy(whole, v)
	all, err := g.gather(ctx, "gather of what is long", whole)
	if err != nil {
		return nil, err
	}
	for i, a := range all {
		out[i] = a[:sizes[i]:sizes[i]]
	}
	return out, nil
}

// lengths reads the heads of all ranks.
func lengths(heads [][]byte) (sizes []int, longest int, err error) {
	for i, h := range heads {
		if len(h) != frame {
			return nil, 0, fmt.Errorf("%w: rank %d sends a head of %d bytes", ErrLost, i, len(h))
		}
		n := binary.LittleEndian.Uint64(h)
		if n > maxGather {
			return nil, 0, fmt.Errorf("%w: rank %d announces %d bytes, %d are allowed; it is another program", ErrLost, i, n, maxGather)
		}
		sizes = append(sizes, int(n))
		longest = max(longest, int(n))
	}
	return sizes, longest, nil
}

// gather brings equally many bytes of all ranks together.
func (g *Group) gather(ctx context.Context, doing string, v []byte) ([][]byte, error) {
	flat := make([]byte, len(v)*g.cfg.Size)
	err := g.call(ctx, doing,
		func() (*c10d.Work, error) { return g.engine.Gather(v) },
		func(w *c10d.Work) error { return w.Bytes(flat) })
	if err != nil {
		return nil, err
	}
	out := make([][]byte, g.cfg.Size)
	for i := range out {
		out[i] = flat[i*len(v) : (i+1)*len(v) : (i+1)*len(v)]
	}
	return out, nil
}

// Close leaves the group. It waits for a call that was given up, Config.Timeout at
// most, and the rank that serves the store some seconds for the others to leave: those
// that wait for it in a call are told that it has left.
// The connection to a store that has stopped answering is left to the end of the
// process, since a thread waits in it. Closing twice is harmless.
func (g *Group) Close() error {
	g.mu.Lock()
	was := g.closed
	g.closed = true
	g.mu.Unlock()
	if was || g.store == nil {
		return nil
	}
	g.roster.leave()
	if g.engine != nil {
		g.engine.Close() // which ends the calls of those that wait for this rank
	}
	if g.serves() {
		g.roster.others()
	}
	g.roster.close()
	if !g.table.hung.Load() {
		g.store.Close()
	}
	return nil
}
