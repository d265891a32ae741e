package tab

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/gotab/gotab/tensor"
)

// program is what all ranks must have in common before they begin.
type program struct {
	Config     json.RawMessage `json:"config"`
	Objective  string          `json:"objective"`
	Aim        partIdentity    `json:"aim"`
	Synth      partIdentity    `json:"synth"`
	Classes    []string        `json:"classes"`
	Threads    int             `json:"threads"`
	Libtorch   string          `json:"libtorch"`
	Ranks      int             `json:"ranks"`
	Statistics Statistics      `json:"statistics"`
	Width      int             `json:"width"`
	Network    string          `json:"network"` // hash of names, types and shapes
	Place      [4]int64        `json:"place"`   // epoch, batch, own, step
}

// program describes this rank.
func (p *Pretrainer) program(classes []string) any {
	cfg := p.cfg
	cfg.Objective, cfg.Workers = nil, 0 // told by its identity, and of no account
	settings, err := json.Marshal(cfg)
	if err != nil {
		return err.Error() // a setting that Validate would have refused
	}
	h := sha256.New()
	visual := p.parts.Visual.Params()
	for _, n := range visual.Names() {
		t := visual.Get(n)
		fmt.Fprintf(h, "%q %v %v\n", n, t.DType(), t.Shape())
	}
	return program{Config: settings, Objective: p.cfg.Objective.Name(), Aim: identify(p.cfg.Objective), Synth: p.generator(), Classes: classes,
		Threads: tensor.GetThreads().PerRun, Libtorch: tensor.LibtorchVersion(), Ranks: p.ranks.size(), Statistics: p.ranks.statistics,
		Width: p.width, Network: hex.EncodeToString(h.Sum(nil)), Place: [4]int64{int64(p.epoch), int64(p.batch), int64(p.own), p.step}}
}

// fromFirst gives the network and anchors of rank 0 to all.
func (p *Pretrainer) fromFirst(ctx context.Context, anchors ...[]float32) error {
	if !p.ranks.many() {
		return nil
	}
	visual := p.parts.Visual.Params()
	arrays, err := visual.Arrays(ctx)
	if _, err = p.ranks.exchange(ctx, "weights", nil, err); err != nil {
		return err
	}
	for _, a := range arrays {
		if err := p.ranks.give(ctx, 0, a.Data); err != nil {
			return err
		}
	}
	for _, a := range anchors {
		v, err := p.ranks.broadcast(ctx, 0, a, len(a))
		if err != nil {
			return err
		}
		copy(a, v)
	}
	if p.ranks.first() {
		return nil
	}
	return visual.SetArrays(ctx, arrays, nil)
}

// sameContents fails where the ranks do not hold the same weights, statistics,
// optimizer state and anchors.
func (p *Pretrainer) sameContents(ctx context.Context, doing string) error {
	if !p.ranks.many() {
		return nil
	}
	h, err := p.digest()
	return p.ranks.same(ctx, doing+": weights", h, err)
}

// digest is a hash of everything that a checkpoint holds.
func (p *Pretrainer) digest() (string, error) {
	_, arrays, err := p.contents()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, a := range arrays {
		_, _ = io.WriteString(h, a.Name) // a hash takes everything
		_, _ = h.Write(a.Data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// give overwrites v with that of one rank.
func (r *ranks) give(ctx context.Context, from int, v []byte) error {
	ctx, stop := linger(ctx)
	defer stop()
	if err := r.group.Broadcast(ctx, from, v); err != nil {
		r.broken = fmt.Errorf("broadcast of rank %d: %w", from, err)
		return r.broken
	}
	return nil
}

// broadcast returns the n values of one rank, which has them in v.
func (r *ranks) broadcast(ctx context.Context, from int, v []float32, n int) ([]float32, error) {
	b := make([]byte, 4*n)
	if from == r.rank() {
		for i, x := range v {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
	}
	if err := r.give(ctx, from, b); err != nil {
		return nil, err
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}
