package dataset_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

type waferFixture struct {
	Files []struct {
		File   string
		N      int
		SHA256 []string
		Labels [][8]uint8
	}
}

func readWaferFixture(t testing.TB) (f waferFixture) {
	b, err := os.ReadFile("testdata/parity/mixedwm38.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &f))
	require.Len(t, f.Files, 3)
	return f
}

// sequential hides ReadAt, as a file inside a compressed zip file does.
type sequential struct{ fstest.MapFS }

func (s sequential) Open(name string) (fs.File, error) {
	f, err := s.MapFS.Open(name)
	return struct{ fs.File }{f}, err
}

func TestMixedWM38EqualsNumPy(t *testing.T) {
	for _, c := range readWaferFixture(t).Files {
		data, err := os.ReadFile(filepath.Join("testdata/parity", c.File))
		require.NoError(t, err)
		whole := fstest.MapFS{"w.npz": {Data: data}}
		for _, fsys := range []fs.FS{whole, sequential{whole}, os.DirFS("testdata/parity")} {
			name := "w.npz"
			if _, ok := fsys.(fstest.MapFS); !ok {
				if _, ok := fsys.(sequential); !ok {
					name = c.File
				}
			}
			ds, err := dataset.NewMixedWM38(fsys, name)
			require.NoError(t, err, c.File)
			require.Equal(t, c.N, ds.Len())
			require.Equal(t, []string{"wafer"}, ds.Classes())
			require.Empty(t, ds.Issues())
			// Backwards, in a jumble, and each twice.
			order := rand.New(rand.NewPCG(1, 2)).Perm(c.N)
			for _, i := range append(append([]int{c.N - 1, 0}, order...), order...) {
				m, err := ds.Map(t.Context(), i)
				require.NoError(t, err)
				sum := sha256.Sum256(m)
				require.Equal(t, c.SHA256[i], hex.EncodeToString(sum[:]), "%s map %d", c.File, i)
				require.Equal(t, c.Labels[i], ds.Labels(i))
				require.Equal(t, uint8(2), m[20*52+20], "a 3 is taken as a 2")

				s, err := ds.Sample(t.Context(), i)
				require.NoError(t, err)
				require.Nil(t, s.Mask)
				require.Equal(t, ds.Item(i), s.Item)
				for k, v := range m {
					require.Equal(t, [3]byte{0, 127, 255}[v], s.Image.Pix[4*k])
				}
			}
			require.NoError(t, ds.Close())
		}
	}
}

func TestMixedWM38Items(t *testing.T) {
	labels := make([]uint8, 4*8)
	labels[8+0], labels[8+2], labels[8+6] = 1, 1, 1 // map 1
	labels[2*8+7], labels[3*8+5] = 1, 1
	ds, err := dataset.NewMixedWM38(wafers(t, zip.Store, make([]byte, 4*6), []int{4, 3, 2}, labels), "w.npz")
	require.NoError(t, err)
	require.Equal(t, dataset.Item{Name: "00000", Class: "wafer", Defect: "good", Label: dataset.LabelGood}, ds.Item(0))
	require.Equal(t, dataset.Item{Name: "00001", Class: "wafer", Defect: "Center+Edge-Loc+Scratch", Label: dataset.LabelDefective}, ds.Item(1))
	require.Equal(t, "Random", ds.Item(2).Defect)
	require.Equal(t, "Near-full", ds.Item(3).Defect)
	require.Equal(t, dataset.Item{}, ds.Item(4))
	require.Equal(t, [8]uint8{}, ds.Labels(-1))
	require.Equal(t, 2, ds.Size().X)
	require.Equal(t, 3, ds.Size().Y)
	_, err = ds.Sample(t.Context(), 4)
	require.ErrorIs(t, err, dataset.ErrIndex)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ds.Map(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, ds.Close())
	require.NoError(t, ds.Close(), "twice")
}

// npyBytes is an array of bytes in npy format.
func npyBytes(data []byte, shape []int) []byte {
	head := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, ", shape[0])
	for _, d := range shape[1:] {
		head += fmt.Sprintf("%d, ", d)
	}
	head += "), }\n"
	b := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(b[8:], uint16(len(head)))
	return append(append(b, head...), data...)
}

func wafers(t testing.TB, method uint16, maps []byte, shape []int, labels []byte) fstest.MapFS {
	return archive(t, method, map[string][]byte{"arr_0.npy": npyBytes(maps, shape), "arr_1.npy": npyBytes(labels, []int{len(labels) / 8, 8})})
}

func archive(t testing.TB, method uint16, members map[string][]byte) fstest.MapFS {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range []string{"arr_0.npy", "arr_1.npy"} {
		if members[name] == nil {
			continue
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		require.NoError(t, err)
		_, err = w.Write(members[name])
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return fstest.MapFS{"w.npz": {Data: buf.Bytes()}}
}

func TestMixedWM38Concurrent(t *testing.T) {
	maps := make([]byte, 300*16)
	for i := range maps {
		maps[i] = byte(i/16) % 3
	}
	ds, err := dataset.NewMixedWM38(wafers(t, zip.Deflate, maps, []int{300, 4, 4}, make([]byte, 300*8)), "w.npz")
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for _, i := range rand.New(rand.NewPCG(3, uint64(g))).Perm(300) {
				m, err := ds.Map(context.Background(), i)
				if err != nil || m[0] != byte(i)%3 || m[15] != byte(i)%3 {
					t.Errorf("map %d: %v %v", i, m, err)
				}
			}
		}()
	}
	wg.Wait()
	require.NoError(t, ds.Close())
	_, err = ds.Map(t.Context(), 7)
	require.NoError(t, err, "what has been unpacked stays")
}

// claim is a zip file whose arr_0 has more bytes by its directory than in truth.
func claim(t *testing.T, head []byte, data uint64) fstest.MapFS {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "arr_0.npy", Method: zip.Store, CompressedSize64: uint64(len(head)), UncompressedSize64: uint64(len(head)) + data})
	require.NoError(t, err)
	_, err = w.Write(head)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return fstest.MapFS{"w.npz": {Data: buf.Bytes()}}
}

func TestMixedWM38Damage(t *testing.T) {
	maps, labels := make([]byte, 3*16), make([]byte, 3*8)
	shape := []int{3, 4, 4}
	open := func(fsys fs.FS) error {
		ds, err := dataset.NewMixedWM38(fsys, "w.npz")
		if err != nil {
			require.Nil(t, ds)
			return err
		}
		for i := range ds.Len() {
			if _, err = ds.Map(t.Context(), i); err != nil {
				break
			}
		}
		require.NoError(t, ds.Close())
		return err
	}
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		require.NoError(t, open(wafers(t, method, maps, shape, labels)))
		for says, fsys := range map[string]fs.FS{
			"arr_0 has shape":    wafers(t, method, maps, []int{3, 16}, labels),
			"arr_1 has shape":    wafers(t, method, maps, shape, labels[:16]),
			"needs":              wafers(t, method, maps[:40], shape, labels),
			"has the value 4":    wafers(t, method, append(bytes.Clone(maps[:47]), 4), shape, labels),
			"want 0 or 1":        wafers(t, method, maps, shape, append(bytes.Clone(labels[:23]), 2)),
			"no array arr_0":     archive(t, method, map[string][]byte{"arr_1.npy": npyBytes(labels, []int{3, 8})}),
			"no array arr_1":     archive(t, method, map[string][]byte{"arr_0.npy": npyBytes(maps, shape)}),
			"not an npz file":    fstest.MapFS{"w.npz": text()},
			"Fortran":            archive(t, method, map[string][]byte{"arr_0.npy": bytes.Replace(bytes.Replace(npyBytes(maps, shape), []byte("False"), []byte("True"), 1), []byte("}"), []byte("} "), 1)}),
			"elements of type":   archive(t, method, map[string][]byte{"arr_0.npy": bytes.Replace(npyBytes(maps, shape), []byte("|u1"), []byte("<f4"), 1)}),
			"is not understood":  archive(t, method, map[string][]byte{"arr_0.npy": bytes.Replace(npyBytes(maps, shape), []byte("descr"), []byte("dexxr"), 1)}),
			"version 9":          archive(t, method, map[string][]byte{"arr_0.npy": bytes.Replace(npyBytes(maps, shape), []byte("Y\x01"), []byte("Y\x09"), 1)}),
			"more elements than": archive(t, method, map[string][]byte{"arr_0.npy": npyBytes(maps, []int{1 << 40, 1 << 40, 4})}),
		} {
			err := open(fsys)
			require.ErrorIs(t, err, dataset.ErrDecode, says)
			require.ErrorContains(t, err, says)
		}
	}
	// A damaged byte is found where the data is compressed; and the second call
	// fails like the first.
	fsys := wafers(t, zip.Deflate, maps, shape, labels)
	at := bytes.Index(fsys["w.npz"].Data, []byte("PK\x01\x02"))
	require.Positive(t, at)
	fsys["w.npz"].Data[at+16] ^= 1 // checksum of arr_0 in the directory
	ds, err := dataset.NewMixedWM38(fsys, "w.npz")
	require.NoError(t, err)
	_, err = ds.Map(t.Context(), 1)
	require.NoError(t, err)
	for range 2 {
		_, err = ds.Map(t.Context(), 2)
		require.ErrorIs(t, err, zip.ErrChecksum)
	}
	require.NoError(t, ds.Close())
	big := npyBytes(nil, []int{1 << 20, 1 << 10, 1 << 10})
	_, err = dataset.NewMixedWM38(claim(t, big, 1<<40), "w.npz")
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	_, err = dataset.NewMixedWM38(fstest.MapFS{}, "w.npz")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = dataset.NewMixedWM38(nil, "w.npz")
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// The published file is recognised by its length, and an older one, with two
// columns in each other's place, by its ranges.
func TestMixedWM38LabelOrder(t *testing.T) {
	const n = 38015
	for _, old := range []bool{false, true} {
		labels := make([]byte, n*8)
		for _, r := range [][3]int{{12000, 12999, 0}, {24000, 24999, 1}, {25000, 25999, 2}, {26000, 26999, 3},
			{32000, 32999, 4}, {33000, 33865, 7}, {34866, 35014, 5}, {37015, 38014, 6}} {
			for i := r[0]; i <= r[1]; i++ {
				c := r[2]
				if old && (c == 5 || c == 7) {
					c = 12 - c
				}
				labels[i*8+c] = 1
			}
		}
		ds, err := dataset.NewMixedWM38(wafers(t, zip.Deflate, make([]byte, n), []int{n, 1, 1}, labels), "w.npz")
		require.NoError(t, err)
		require.Equal(t, n, ds.Len())
		if !old {
			require.Empty(t, ds.Issues())
		} else {
			require.Len(t, ds.Issues(), 2)
			require.ErrorContains(t, fmt.Errorf("%s", ds.Issues()[0]), "map 33000 is Near-full, in the published file it is Random")
		}
		require.NoError(t, ds.Close())
	}
}

func FuzzMixedWM38(f *testing.F) {
	for _, c := range []string{"wm_int64.npz", "wm_deflate.npz"} {
		data, err := os.ReadFile(filepath.Join("testdata/parity", c))
		require.NoError(f, err)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add(wafers(f, zip.Store, make([]byte, 3*4), []int{3, 2, 2}, make([]byte, 24))["w.npz"].Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		ds, err := dataset.NewMixedWM38(fstest.MapFS{"w.npz": {Data: data}}, "w.npz")
		if err != nil {
			return
		}
		for _, i := range []int{ds.Len() - 1, 0} {
			m, err := ds.Map(context.Background(), i)
			if err != nil {
				continue
			}
			if len(m) != ds.Size().X*ds.Size().Y {
				t.Fatalf("%d dies for %v", len(m), ds.Size())
			}
			for _, v := range m {
				if v > 2 {
					t.Fatalf("die %d", v)
				}
			}
		}
		if err := ds.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
