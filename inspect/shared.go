package inspect

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// netKey tells backbones apart: by the very bytes of their weights, not by what a file
// says that they are.
type netKey struct {
	sum       [sha256.Size]byte
	arch      backbone.Arch
	last      backbone.Layer
	precision backbone.Precision
	device    tensor.Device
}

// sharedNet is a backbone that any number of bundles of the process use.
type sharedNet struct {
	key   netKey
	ready chan struct{} // closed when net or err is there
	net   *backbone.ResNet
	err   error
	users int // guarded by nets.mu
}

// netPool has the backbones that are in use.
type netPool struct {
	mu   sync.Mutex
	nets map[netKey]*sharedNet
}

// nets are those of the process: weights are most of what a service holds.
var nets netPool

// use returns the backbone of a key, which the first of its users reads. done gives it
// back.
func (p *netPool) use(ctx context.Context, key netKey, open func() (io.Reader, error)) (*sharedNet, error) {
	p.mu.Lock()
	if p.nets == nil {
		p.nets = make(map[netKey]*sharedNet)
	}
	s, there := p.nets[key]
	if !there {
		s = &sharedNet{key: key, ready: make(chan struct{})}
		p.nets[key] = s
	}
	s.users++
	p.mu.Unlock()
	if !there {
		s.net, s.err = readNet(key, open)
		close(s.ready)
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.done(s))
	}
	if s.err != nil {
		return nil, errors.Join(s.err, p.done(s))
	}
	return s, nil
}

func readNet(key netKey, open func() (io.Reader, error)) (*backbone.ResNet, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return nil, err
	}
	var net *backbone.ResNet
	if key.last == backbone.Pooled {
		net, err = backbone.FromWeights(w, key.device)
	} else {
		net, err = backbone.FromStages(w, key.arch, key.last, key.device)
	}
	if err != nil {
		return nil, err
	}
	if err := net.SetPrecision(key.precision); err != nil {
		return nil, errors.Join(err, net.Close())
	}
	return net, nil
}

// done gives a backbone back; the last user's closes it.
func (p *netPool) done(s *sharedNet) error {
	p.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(p.nets, s.key)
	}
	p.mu.Unlock()
	if !last {
		return nil
	}
	<-s.ready // of a reader whose only user did not wait for it
	if s.net == nil {
		return nil
	}
	return s.net.Close()
}

// len is how many backbones are in use.
func (p *netPool) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.nets)
}
