package tensor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/gotab/gotab/tensor/internal/native"
)

// ErrSettled reports settings that come after the first Run has put others in
// force.
var ErrSettled = errors.New("the settings are in force already")

// Settings are what this package changes for the whole process, and so also for
// other code in the program that uses libtorch or oneDNN. They are put in force
// once, when the first Run starts, and not touched again. A program that wants
// others than the defaults calls [Configure] before that.
type Settings struct {
	// Primitives is how many compiled convolutions oneDNN keeps, 0 to 1,000,000,000.
	// There are some for each network and size of input. Above 0 it is given to
	// oneDNN through the environment variable ONEDNN_PRIMITIVE_CACHE_CAPACITY of
	// this process. 0 sets no variable, and oneDNN then keeps 1,024. Where the
	// environment has the variable already, or DNNL_PRIMITIVE_CACHE_CAPACITY, it is
	// obeyed and Primitives is not.
	//
	// The default, 1,000,000, keeps all. A number that is reached makes oneDNN throw
	// the oldest away, and the release that libtorch 2.1 carries then reads freed
	// memory where two threads convolve at the same time. So a smaller number is for
	// programs whose Runs never overlap.
	Primitives int
	// TF32 lets CUDA multiply float32 with 10 bits of mantissa. Default: false.
	TF32 bool
	// CuDNNBenchmark lets cuDNN choose its algorithm by timing. Default: false.
	CuDNNBenchmark bool
	// CuDNNNondeterministic lets cuDNN use algorithms whose results vary from run
	// to run. Default: false.
	CuDNNNondeterministic bool
}

// DefaultSettings returns the settings that are put in force if Configure was not
// called: exact and repeatable numbers, and no compiled convolution thrown away.
func DefaultSettings() Settings { return Settings{Primitives: 1_000_000} }

// Validate checks the ranges.
func (c Settings) Validate() error {
	if c.Primitives < 0 || c.Primitives > 1_000_000_000 {
		return fmt.Errorf("tensor: Settings.Primitives is %d, want 0 to 1000000000", c.Primitives)
	}
	return nil
}

// Configure decides what the first Run puts in force. It may be called again
// until then; the last call counts. After the first Run it returns [ErrSettled]
// unless c is what is in force. It is safe for concurrent use.
func Configure(c Settings) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return settings.set(c)
}

// GetSettings returns what is in force or, before the first Run, what will be.
// Primitives is that of the environment where the environment has a number.
func GetSettings() Settings { return settings.get() }

// settings is process-wide because what it sets is.
var settings settler

type settler struct {
	mu      sync.Mutex
	want    *Settings // nil: the defaults
	applied bool
	err     error
}

// readLocked returns what is, or will be, in force.
func (s *settler) readLocked() Settings {
	c := DefaultSettings()
	if s.want != nil {
		c = *s.want
	}
	if !s.applied {
		c.Primitives = obeyed(c.Primitives)
	}
	return c
}

// obeyed returns the environment's number of primitives, if it has one, else n.
func obeyed(n int) int {
	for _, name := range []string{"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"} {
		if v, ok := os.LookupEnv(name); ok {
			if k, err := strconv.Atoi(v); err == nil {
				return k
			}
			return n // oneDNN makes of it what it can
		}
	}
	return n
}

func (s *settler) get() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readLocked()
}

func (s *settler) set(c Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applied {
		if now := s.readLocked(); c != now {
			return fmt.Errorf("tensor: configure: %w: %+v; call Configure before the first Run", ErrSettled, now)
		}
		return nil
	}
	s.want = &c
	return nil
}

// apply puts the settings in force at its first call, on a libtorch thread.
func (s *settler) apply() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.applied {
		c := s.readLocked()
		s.err = native.Setup(int64(c.Primitives), c.TF32, c.CuDNNBenchmark, !c.CuDNNNondeterministic)
		s.want, s.applied = &c, true
	}
	return s.err
}
