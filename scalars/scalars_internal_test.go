package scalars

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// values yields names and values that take turns.
func values(pairs ...any) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(pairs[i].(string), pairs[i+1].(float64)) {
				return
			}
		}
	}
}

// clock starts at a quarter second and goes half a second on with each look.
func clock(begin int64) func() time.Time {
	t := time.Unix(begin, 250_000_000)
	return func() time.Time {
		now := t
		t = t.Add(500 * time.Millisecond)
		return now
	}
}

// What is written are the bytes of TensorBoard's own writer, whose reader the script
// beside them asks.
func TestEventsAreTensorBoards(t *testing.T) {
	type step struct {
		number int64
		values iter.Seq2[string, float64]
	}
	for name, c := range map[string]struct {
		begin, after int64
		steps        []step
	}{
		"first": {1_700_000_000, 0, []step{
			{1, values("loss", 0.7, "lr", 1e-3, "indicators/ln q/q0 layer1", -0.25)},
			{2, values("loss", 0.5, "lr", 2e-3)}, {3, values("loss", 99.0, "größe", math.Inf(1))},
		}},
		"second": {1_700_000_100, 2, []step{
			{3, values("loss", math.NaN(), "lr", 3e-3)}, {1 << 40, values("loss", 0.25, "probe/image AUROC", 1.0)},
		}},
	} {
		var b bytes.Buffer
		e, err := newEvents(&b, c.after, clock(c.begin))
		require.NoError(t, err)
		for _, s := range c.steps {
			require.NoError(t, e.Add(s.number, s.values))
		}
		require.NoError(t, e.Add(9, values()))
		require.NoError(t, e.Add(9, nil))
		require.NoError(t, e.Close())
		want, err := os.ReadFile(filepath.Join("testdata", "parity", name+".tfevents"))
		require.NoError(t, err)
		require.Equal(t, want, b.Bytes(), name)
	}
}

// The checksum is CRC-32C, whose check value is known, masked as TensorFlow says.
func TestMasked(t *testing.T) {
	c := uint32(0xe3069283) // of "123456789"
	require.Equal(t, (c>>15|c<<17)+0xa282ead8, masked([]byte("123456789")))
	r := record([]byte("event"))
	require.Equal(t, uint64(5), binary.LittleEndian.Uint64(r))
	require.Len(t, r, 8+4+5+4)
}

// A run that goes on has a file of its own, whose name comes last though the clock may
// have gone back; two runs of one second do not share one.
func TestEventFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	now := time.Unix(1_800_000_000, 0)
	var last string
	for range 3 {
		f, err := create(dir, now)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Greater(t, filepath.Base(f.Name()), last)
		last = filepath.Base(f.Name())
		now = now.Add(-time.Hour)
	}
	require.Equal(t, "events.out.tfevents.1800000002.gotab", last)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "events.out.tfevents.99999999999999999999"), nil, 0o600))
	e, err := OpenEvents(dir, 5)
	require.NoError(t, err)
	require.NoError(t, e.Add(6, values("loss", 1.0)))
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	require.ErrorIs(t, e.Add(7, values("loss", 1.0)), ErrClosed)
	b, err := os.ReadFile(filepath.Join(dir, "events.out.tfevents.1800000003.gotab"))
	require.NoError(t, err)
	require.Contains(t, string(b), "brain.Event:2")
	_, err = OpenEvents(filepath.Join(dir, last), 0)
	require.Error(t, err)
	_, err = OpenEvents(dir, -1)
	require.ErrorIs(t, err, ErrStep)
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, all, 5, "what could not begin leaves no file")
}

// full fails from the second write on.
type full struct{ writes int }

var errFull = errors.New("disk is full")

func (f *full) Write(b []byte) (int, error) {
	if f.writes++; f.writes > 2 {
		return 0, errFull
	}
	return len(b), nil
}

func TestEventsKeepTheFirstError(t *testing.T) {
	w := &full{}
	e, err := NewEvents(w, 0)
	require.NoError(t, err)
	require.ErrorIs(t, e.Add(1, values("loss", 1.0)), errFull)
	require.ErrorIs(t, e.Add(2, values("loss", 1.0)), errFull)
	require.Equal(t, 3, w.writes)
	require.ErrorIs(t, e.Close(), errFull)
	_, err = NewEvents(nil, 0)
	require.ErrorIs(t, err, ErrFormat)
}

func TestNames(t *testing.T) {
	e, err := NewEvents(&bytes.Buffer{}, 0)
	require.NoError(t, err)
	many := func(yield func(string, float64) bool) {
		for i := range maxNames + 1 {
			if !yield(time.Duration(i).String(), 0) {
				return
			}
		}
	}
	for _, v := range []iter.Seq2[string, float64]{values("", 1.0), values("a\nb", 1.0), values("\xff", 1.0), values("a", 1.0, "a", 2.0),
		values(string(make([]byte, maxName+1)), 1.0), many} {
		require.ErrorIs(t, e.Add(1, v), ErrName)
	}
	require.ErrorIs(t, e.Add(-1, values("a", 1.0)), ErrStep)
	require.NoError(t, e.Add(1, values("a", 1.0)), "what was refused harms nothing")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.csv")
	open := func(after int64) *CSV {
		c, err := OpenCSV(path, after)
		require.NoError(t, err)
		c.now = clock(1_700_000_000)
		return c
	}
	c := open(0)
	require.NoError(t, c.Add(1, values("loss", 0.5, "a, \"b\"", math.NaN())))
	require.NoError(t, c.Add(2, values("loss", 1e-7)))
	require.NoError(t, c.Add(3, values("probe", math.Inf(-1), "loss", 0.25))) // a name that comes later
	require.NoError(t, c.Add(4, values("probe", 2.0)))
	require.NoError(t, c.Add(5, values()))
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Add(5, values("loss", 1.0)), ErrClosed)
	const head = "step,time,loss,\"a, \"\"b\"\"\",probe\n"
	rows := []string{"1,2023-11-14T22:13:20.250Z,0.5,NaN,\n", "2,2023-11-14T22:13:20.750Z,1e-07,,\n", "3,2023-11-14T22:13:21.250Z,0.25,,-inf\n", "4,2023-11-14T22:13:21.750Z,,,2\n"}
	require.Equal(t, head+rows[0]+rows[1]+rows[2]+rows[3], readFile(t, path))

	// Gone on with after step 2: what came later is cut off, half a row too.
	require.NoError(t, os.WriteFile(path, []byte(head+rows[0]+rows[1]+rows[2]+rows[3][:9]), 0o600))
	c = open(2)
	require.NoError(t, c.Add(3, values("loss", 3.0)))
	require.NoError(t, c.Add(4, values("new", 4.0)))
	require.NoError(t, c.Close())
	const wide = "step,time,loss,\"a, \"\"b\"\"\",probe,new\n"
	cut := func(s string) string { return s[:len(s)-1] + ",\n" }
	require.Equal(t, wide+cut(rows[0])+cut(rows[1])+"3,2023-11-14T22:13:20.250Z,3,,,\n4,2023-11-14T22:13:20.750Z,,,,4\n", readFile(t, path))

	// A new run begins anew, and one whose header was cut off too.
	for _, old := range []string{wide, "step,ti", "", "step,time\n"} {
		require.NoError(t, os.WriteFile(path, []byte(old), 0o600))
		after := int64(1)
		if old == wide {
			after = 0
		}
		c = open(after)
		require.NoError(t, c.Add(1, values("x", 1.0)))
		require.NoError(t, c.Close())
		require.Equal(t, "step,time,x\n1,2023-11-14T22:13:20.250Z,1\n", readFile(t, path), "%q", old)
	}
}

// What is no table of this package is refused and stays.
func TestCSVRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log.csv")
	for _, old := range []string{"a,b\n1,2\n", "step\n", "picture", "step,time,loss\nx,y,z\n", "step,time,\"loss\n"} {
		require.NoError(t, os.WriteFile(path, []byte(old), 0o600))
		_, err := OpenCSV(path, 1)
		require.ErrorIs(t, err, ErrFormat, "%q", old)
		require.Equal(t, old, readFile(t, path))
	}
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), maxLine+1), 0o600))
	_, err := OpenCSV(path, 0)
	require.ErrorIs(t, err, ErrFormat)
	_, err = OpenCSV(dir, 0)
	require.ErrorIs(t, err, ErrFormat)
	_, err = OpenCSV(filepath.Join(dir, "none", "x"), 0)
	require.Error(t, err)
	_, err = OpenCSV(path, -1)
	require.ErrorIs(t, err, ErrStep)

	c, err := OpenCSV(filepath.Join(dir, "new.csv"), 0)
	require.NoError(t, err)
	require.ErrorIs(t, c.Add(1, values("step", 1.0)), ErrName)
	require.NoError(t, c.Add(1, values("a", 1.0)))
	require.NoError(t, c.f.Close()) // as a disk that fails
	require.Error(t, c.Add(2, values("a", 1.0)))
	require.Error(t, c.Add(2, values("a", 1.0)))
	require.Error(t, c.Close())
}

// Any bytes before are refused or gone on with; what is added can be read.
func FuzzOpenCSV(f *testing.F) {
	f.Add([]byte("step,time,loss\n1,x,2\n2,y,3"), int64(1))
	f.Add([]byte("step,time,\"lo\"\"ss\"\n"), int64(9))
	f.Fuzz(func(t *testing.T, old []byte, after int64) {
		path := filepath.Join(t.TempDir(), "log.csv")
		require.NoError(t, os.WriteFile(path, old, 0o600))
		c, err := OpenCSV(path, after)
		if err != nil {
			require.Equal(t, string(old), readFile(t, path))
			return
		}
		require.NoError(t, c.Add(math.MaxInt64, values("fuzz", 1.0)))
		require.NoError(t, c.Close())
		again, err := OpenCSV(path, math.MaxInt64)
		require.NoError(t, err)
		require.Contains(t, again.columns, "fuzz")
		require.NoError(t, again.Close())
	})
}
