package dataset_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// folder is a data set of files in several classes, with masks.
func folder(t testing.TB, perClass int) (fstest.MapFS, *dataset.Files) {
	t.Helper()
	fsys := fstest.MapFS{}
	add := func(name string, img image.Image) {
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		fsys[name] = &fstest.MapFile{Data: b.Bytes()}
	}
	for c, class := range []string{"bolt", "nut", "端子"} {
		for i := range perClass {
			img := image.NewGray(image.Rect(0, 0, 6+c, 5+i%3))
			for k := range img.Pix {
				img.Pix[k] = byte(c*80 + i + k)
			}
			add(fmt.Sprintf("%s/train/good/%03d.png", class, i), img)
			if i%4 == 0 {
				add(fmt.Sprintf("%s/test/cut/%03d.png", class, i), img)
				add(fmt.Sprintf("%s/test/good/%03d.png", class, i), img)
				mask := image.NewGray(img.Rect)
				mask.Pix[i%len(mask.Pix)] = 255
				add(fmt.Sprintf("%s/ground_truth/cut/%03d_mask.png", class, i), mask)
			}
		}
	}
	ds, err := dataset.NewMVTecAD(fsys, dataset.DefaultMVTecAD())
	require.NoError(t, err)
	return fsys, ds
}

// shardsOf writes ds and opens what was written.
func shardsOf(t testing.TB, ds dataset.Dataset, change func(*dataset.ShardsConfig)) (dir string, s *dataset.Shards) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "set")
	cfg := dataset.DefaultShards()
	cfg.Bytes = 1 << 14
	if change != nil {
		change(&cfg)
	}
	if cfg.Archive == dataset.ShardZip {
		cfg.Bytes /= 4 // it fills no blocks up
	}
	require.NoError(t, dataset.WriteShards(t.Context(), dir, ds, cfg))
	return dir, openShards(t, os.DirFS(dir), nil)
}

func openShards(t testing.TB, fsys fs.FS, change func(*dataset.Config)) *dataset.Shards {
	t.Helper()
	cfg := dataset.DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	s, err := dataset.NewShards(t.Context(), fsys, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func byName(t testing.TB, ds dataset.Dataset) map[string]int {
	t.Helper()
	at := map[string]int{}
	for i := range ds.Len() {
		at[ds.Item(i).Name] = i
	}
	require.Len(t, at, ds.Len())
	return at
}

// sameSamples compares the samples of got with those of want of the same names.
func sameSamples(t *testing.T, want, got dataset.Dataset) {
	t.Helper()
	require.Equal(t, want.Len(), got.Len())
	require.Equal(t, want.Classes(), got.Classes())
	at := byName(t, want)
	for i := range got.Len() {
		s, err := got.Sample(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, got.Item(i), s.Item)
		w, err := want.Sample(t.Context(), at[s.Name])
		require.NoError(t, err)
		require.Equal(t, w, s)
	}
}

// frontFS is a file system whose files are read from the front and not otherwise.
type frontFS struct{ fs.FS }

type frontFile struct{ f fs.File }

func (f frontFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return frontFile{file}, nil
}
func (f frontFile) Stat() (fs.FileInfo, error) { return f.f.Stat() }
func (f frontFile) Read(p []byte) (int, error) { return f.f.Read(p) }
func (f frontFile) Close() error               { return f.f.Close() }

func TestShardsAreTheDataSet(t *testing.T) {
	_, ds := folder(t, 24)
	for _, shuffle := range []bool{false, true} {
		dir, s := shardsOf(t, ds, func(c *dataset.ShardsConfig) {
			if c.Shuffle = shuffle; shuffle {
				c.Archive = dataset.ShardZip
			}
		})
		require.Greater(t, s.Shards(), 3)
		sameSamples(t, ds, s)
		require.Equal(t, !shuffle, slices.Equal(dataset.Items(ds), dataset.Items(s)))
		require.NoError(t, s.Verify(t.Context()))
		sameSamples(t, ds, openShards(t, frontFS{os.DirFS(dir)}, nil))

		opened, closer, err := dataset.Open(t.Context(), dir, dataset.DefaultConfig())
		require.NoError(t, err)
		require.Equal(t, dataset.Items(s), dataset.Items(opened))
		require.NoError(t, closer.Close())
		_, err = opened.Sample(t.Context(), 0)
		require.ErrorIs(t, err, fs.ErrClosed)

		some := openShards(t, os.DirFS(dir), func(c *dataset.Config) { c.Classes, c.Split = []string{"nut", "端子"}, dataset.Test })
		sameSamples(t, dataset.Filter(ds, func(it dataset.Item) bool { return it.Class != "bolt" && it.Split == dataset.Test }), some)
		require.NoError(t, some.Verify(t.Context()))

		r, err := dataset.Check(t.Context(), s, dataset.DefaultCheck())
		require.NoError(t, err)
		want, err := dataset.Check(t.Context(), ds, dataset.DefaultCheck())
		require.NoError(t, err)
		require.NoError(t, r.Err())
		require.Equal(t, want.Masks, r.Masks)
		require.Equal(t, want.Sizes, r.Sizes)
	}
}

// entriesOf reads an archive as any program does.
func entriesOf(t *testing.T, path string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	if strings.HasSuffix(path, ".zip") {
		r, err := zip.OpenReader(path)
		require.NoError(t, err)
		for _, f := range r.File {
			require.True(t, f.Mode().IsRegular())
			require.False(t, f.NonUTF8)
			file, err := f.Open()
			require.NoError(t, err)
			out[f.Name], err = io.ReadAll(file) // compares the checksum
			require.NoError(t, err)
		}
		require.NoError(t, r.Close())
		return out
	}
	f, err := os.Open(path)
	require.NoError(t, err)
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		out[h.Name], err = io.ReadAll(r)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return out
}

// Files go in as they are, and any program that reads tar or zip finds them.
func TestShardsHoldTheFiles(t *testing.T) {
	fsys, ds := folder(t, 9)
	chosen, err := dataset.Apply(dataset.Filter(ds, dataset.Item.IsDefective), dataset.Items(dataset.Filter(ds, dataset.Item.IsDefective)))
	require.NoError(t, err)
	dir, s := shardsOf(t, dataset.Concat(chosen, dataset.Filter(ds, dataset.Item.IsGood)), nil)
	again, zipped := shardsOf(t, s, func(c *dataset.ShardsConfig) { c.Shuffle, c.Archive = false, dataset.ShardZip }) // shards of shards
	back, _ := shardsOf(t, zipped, func(c *dataset.ShardsConfig) { c.Shuffle = false })
	for _, d := range []string{dir, again, back} {
		names, err := fs.Glob(os.DirFS(d), "shard-*")
		require.NoError(t, err)
		require.Greater(t, len(names), 1)
		found := 0
		for _, n := range names {
			require.Equal(t, d == again, strings.HasSuffix(n, ".zip"), n)
			for name, data := range entriesOf(t, filepath.Join(d, n)) {
				require.Equal(t, fsys[name].Data, data, name)
				found++
			}
		}
		require.Equal(t, len(fsys), found)
	}
	require.NoError(t, zipped.Verify(t.Context()))
}

// A zip archive that is not as shards are written is no shard, whatever its index says.
func TestZipShardsOfOthers(t *testing.T) {
	data := bytes.Repeat([]byte("five"), 20)
	for name, write := range map[string]func(w *zip.Writer) (io.Writer, error){
		"packed":  func(w *zip.Writer) (io.Writer, error) { return w.Create("a.png") },
		"trailer": func(w *zip.Writer) (io.Writer, error) { return w.CreateHeader(&zip.FileHeader{Name: "a.png"}) },
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := write(z)
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		index := []byte(fmt.Sprintf(`{"image":"a.png","label":"good","shard":0,"at":%d,"bytes":%d,"crc32c":%d}`+"\n", 35, len(data), crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
		s := openShards(t, fstest.MapFS{dataset.ShardsFile: {Data: rehead(index, b.Bytes(), "s.zip")}, "index.jsonl": {Data: index}, "s.zip": {Data: b.Bytes()}}, nil)
		err = s.Verify(t.Context())
		require.ErrorIs(t, err, dataset.ErrDamaged, name)
		require.ErrorContains(t, err, "is none of shards", name)
	}
}

// What has no files is written as PNG and read as the same pixels.
func TestShardsOfPixels(t *testing.T) {
	ds := samples(t, 20)
	_, s := shardsOf(t, ds, nil)
	at := byName(t, ds)
	for i := range s.Len() {
		got, err := s.Sample(t.Context(), i)
		require.NoError(t, err)
		want, err := ds.Sample(t.Context(), at[got.Name])
		require.NoError(t, err)
		require.Equal(t, want.Item, got.Item)
		require.Equal(t, want.Image.Pix, got.Image.Pix)
		require.Equal(t, want.Mask == nil, got.Mask == nil)
	}
	require.NoError(t, s.Verify(t.Context()))
}

func TestWriteShardsRefuses(t *testing.T) {
	_, ds := folder(t, 4)
	dir := t.TempDir()
	write := func(to string, ds dataset.Dataset, change func(*dataset.ShardsConfig)) error {
		cfg := dataset.DefaultShards()
		if change != nil {
			change(&cfg)
		}
		return dataset.WriteShards(t.Context(), to, ds, cfg)
	}
	out := filepath.Join(dir, "out")
	require.ErrorIs(t, write(out, ds, func(c *dataset.ShardsConfig) { c.Bytes = 0 }), dataset.ErrConfig)
	require.ErrorIs(t, write(out, ds, func(c *dataset.ShardsConfig) { c.Archive = "rar" }), dataset.ErrConfig)
	require.ErrorIs(t, write(out, nil, nil), dataset.ErrConfig)
	require.ErrorIs(t, write("", ds, nil), dataset.ErrConfig)
	err := write(out, dataset.Concat(ds, ds), nil)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "comes twice")
	bad, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Name: "../x"}, Image: image.NewRGBA(image.Rect(0, 0, 2, 2))}})
	require.NoError(t, err)
	require.ErrorIs(t, write(out, bad, nil), dataset.ErrLayout)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := dataset.DefaultShards()
	cfg.Progress = func(done int) {
		if done == 3 {
			cancel()
		}
	}
	require.ErrorIs(t, dataset.WriteShards(ctx, out, ds, cfg), context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is left of what failed")
	require.NoError(t, write(out, ds, nil))
	require.ErrorIs(t, write(out, ds, nil), dataset.ErrConfig)
	require.ErrorIs(t, write(filepath.Join(dir, "no", "out"), ds, nil), fs.ErrNotExist)
}

// mapFS reads a folder into memory.
func mapFS(t *testing.T, dir string) fstest.MapFS {
	out := fstest.MapFS{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = &fstest.MapFile{Data: data}
	}
	return out
}

// Every byte of a set that is changed is noticed by Verify; every one of an image also by Sample,
// and of the index by opening.
func TestShardsNoticeDamage(t *testing.T) {
	_, ds := folder(t, 3)
	for _, a := range []dataset.ShardArchive{dataset.ShardTar, dataset.ShardZip} {
		dir, _ := shardsOf(t, ds, func(c *dataset.ShardsConfig) { c.Archive = a })
		noticeDamage(t, ds, mapFS(t, dir), string(a))
	}
}

func noticeDamage(t *testing.T, ds dataset.Dataset, sound fstest.MapFS, ending string) {
	for name, file := range sound {
		step := 7
		switch {
		case strings.HasSuffix(name, ".tar"):
			step = 211
		case strings.HasSuffix(name, ".zip"):
			step = 23 // there is little between the images
		}
		for at := 0; at < len(file.Data); at += step {
			fsys := fstest.MapFS{}
			for n, f := range sound {
				fsys[n] = f
			}
			data := bytes.Clone(file.Data)
			data[at] ^= 1 << (at % 8)
			fsys[name] = &fstest.MapFile{Data: data}
			s, err := dataset.NewShards(t.Context(), fsys, dataset.DefaultConfig())
			if name == "index.jsonl" {
				require.ErrorIs(t, err, dataset.ErrDamaged, "byte %d", at)
			}
			if err != nil {
				continue
			}
			if err := s.Verify(t.Context()); err == nil && name != dataset.ShardsFile { // a space there means nothing
				t.Fatalf("byte %d of %s is changed and not noticed", at, name)
			} else if name != dataset.ShardsFile {
				require.ErrorIs(t, err, dataset.ErrDamaged)
				require.ErrorContains(t, err, "shard-0")
			}
			broken := 0
			for i := range s.Len() {
				if got, err := s.Sample(t.Context(), i); err != nil && name == dataset.ShardsFile {
					require.ErrorContains(t, err, s.Item(i).Class) // the name or the size of an archive is another one
				} else if err != nil {
					require.ErrorIs(t, err, dataset.ErrDamaged)
					require.ErrorContains(t, err, s.Item(i).Class)
					require.ErrorContains(t, err, "shard-0")
					broken++
				} else {
					want, err := ds.Sample(t.Context(), byName(t, ds)[got.Name])
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
			}
			require.LessOrEqual(t, broken, 1, "%s, byte %d", name, at)
			require.NoError(t, s.Close())
		}
	}
	// Files that are missing, cut, or of another set.
	for _, name := range []string{dataset.ShardsFile, "index.jsonl", "shard-000000." + ending} {
		for _, cut := range []bool{false, true} {
			fsys := fstest.MapFS{}
			for n, f := range sound {
				fsys[n] = f
			}
			if delete(fsys, name); cut {
				fsys[name] = &fstest.MapFile{Data: sound[name].Data[:len(sound[name].Data)/2]}
			}
			s, err := dataset.NewShards(t.Context(), fsys, dataset.DefaultConfig())
			if err == nil {
				require.Error(t, s.Verify(t.Context()))
				_, err = s.Sample(t.Context(), 0)
				require.ErrorContains(t, err, name)
				require.NoError(t, s.Close())
			} else {
				require.ErrorContains(t, err, name)
			}
		}
	}
}

// rehead makes the head of a set fit an index and an archive.
func rehead(index, archive []byte, name string) []byte {
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	images := bytes.Count(index, []byte("\n"))
	type file map[string]any
	head, _ := json.Marshal(file{"gotab_shards": 1, "images": images,
		"index":  file{"name": "index.jsonl", "bytes": len(index), "crc32c": crc32.Checksum(index, crc32.MakeTable(crc32.Castagnoli)), "sha256": sum(index)},
		"shards": []file{{"name": name, "images": images, "bytes": len(archive), "sha256": sum(archive)}}})
	return head
}

func TestShardsRefuseSenselessIndexes(t *testing.T) {
	archive := make([]byte, 4096)
	line := `{"image":"a.png","label":"good","shard":0,"at":512,"bytes":5,"crc32c":1}` + "\n"
	for index, want := range map[string]string{
		"": "lists no image",
		strings.Replace(line, `"shard":0`, `"shard":1`, 1):               "no shard 1",
		strings.Replace(line, `"bytes":5`, `"bytes":3585`, 1):            "do not lie in",
		strings.Replace(line, `"at":512`, `"at":1152921504606846976`, 1): "do not lie in",
		strings.Replace(line, `"at":512`, `"at":-1`, 1):                  "do not lie in",
		line + line: "does not lie behind",
		strings.Replace(line, `"crc32c":1`, `"crc32c":1,"mask_at":100,"mask_bytes":1`, 1):            "a mask without",
		strings.Replace(line, `"label"`, `"mask":"m.png","label"`, 1):                                "a mask without",
		strings.Replace(line, `"crc32c":1`, `"mask":"m","crc32c":1,"mask_at":514,"mask_bytes":1`, 1): "do not lie behind it",
	} {
		_, err := dataset.NewShards(t.Context(), fstest.MapFS{dataset.ShardsFile: {Data: rehead([]byte(index), archive, "s.tar")}, "index.jsonl": {Data: []byte(index)}, "s.tar": {Data: archive}}, dataset.DefaultConfig())
		require.ErrorIs(t, err, dataset.ErrLayout, index)
		require.ErrorContains(t, err, want)
	}
	head := rehead([]byte(line), archive, "s.tar")
	for from, to := range map[string]string{`"gotab_shards":1`: `"gotab_shards":2`, `"s.tar"`: `"../s.tar"`, `"images":1`: `"images":-1`, `"sha256":"`: `"sha256":"x`} {
		_, err := dataset.NewShards(t.Context(), fstest.MapFS{dataset.ShardsFile: {Data: []byte(strings.Replace(string(head), from, to, 1))}, "index.jsonl": {Data: []byte(line)}, "s.tar": {Data: archive}}, dataset.DefaultConfig())
		require.ErrorIs(t, err, dataset.ErrLayout, to)
	}
}

// An entry, or its mask, that is larger than any image that the decoder takes is refused before it is read: what lies
// there has another checksum, so that reading it would be another error.
func TestShardsRefuseLargeEntries(t *testing.T) {
	const limit = 8 + 1<<20 // bytes, of a decoder for one pixel
	var pixel bytes.Buffer
	require.NoError(t, png.Encode(&pixel, image.NewGray(image.Rect(0, 0, 1, 1))))
	archive := make([]byte, 512+limit+2048)
	copy(archive[512:], pixel.Bytes())
	crc := crc32.Checksum(pixel.Bytes(), crc32.MakeTable(crc32.Castagnoli))
	entry := func(bytes, mask int) string {
		if mask == 0 {
			return fmt.Sprintf(`{"image":"a.png","label":"good","shard":0,"at":512,"bytes":%d,"crc32c":1}`, bytes) + "\n"
		}
		return fmt.Sprintf(`{"image":"a.png","mask":"m.png","label":"defective","shard":0,"at":512,"bytes":%d,"crc32c":%d,"mask_at":%d,"mask_bytes":%d,"mask_crc32c":1}`,
			pixel.Len(), crc, 512+pixel.Len(), mask) + "\n"
	}
	for index, want := range map[string]error{
		entry(limit+1, 0): dataset.ErrTooLarge, entry(0, limit+1): dataset.ErrTooLarge,
		entry(limit, 0): dataset.ErrDamaged, entry(0, limit): dataset.ErrDamaged, // read, and not what was written
	} {
		fsys := fstest.MapFS{dataset.ShardsFile: {Data: rehead([]byte(index), archive, "s.tar")}, "index.jsonl": {Data: []byte(index)}, "s.tar": {Data: archive}}
		s := openShards(t, fsys, func(c *dataset.Config) { c.Decoder.MaxPixels = 1 })
		_, err := s.Sample(t.Context(), 0)
		require.ErrorIs(t, err, want, index)
		w, err := s.Window(dataset.WindowConfig{Images: 1})
		require.NoError(t, err)
		_, err = w.Sample(t.Context(), 0)
		require.ErrorIs(t, err, want, index)
		require.NoError(t, w.Close())
	}
}

// FuzzShards reads an index and an archive of any bytes, of which the head says that
// they are as they were written.
func FuzzShards(f *testing.F) {
	fuzzShards(f, "s.tar", func(b *bytes.Buffer) fuzzArchive {
		w := tar.NewWriter(b)
		return fuzzArchive{func(name string, data []byte) (io.Writer, error) {
			return w, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: 0o644})
		}, w.Flush, w.Close}
	})
}

// FuzzZipShards is FuzzShards for zip archives.
func FuzzZipShards(f *testing.F) {
	fuzzShards(f, "s.zip", func(b *bytes.Buffer) fuzzArchive {
		w := zip.NewWriter(b)
		return fuzzArchive{func(name string, data []byte) (io.Writer, error) {
			n := uint64(len(data))
			to, err := w.CreateRaw(&zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE(data), CompressedSize64: n, UncompressedSize64: n})
			return to, errors.Join(err, w.Flush())
		}, w.Flush, w.Close}
	})
}

type fuzzArchive struct {
	begin      func(name string, data []byte) (io.Writer, error)
	end, close func() error
}

func fuzzShards(f *testing.F, archiveName string, make func(*bytes.Buffer) fuzzArchive) {
	var b, img, index bytes.Buffer
	w := make(&b)
	if err := png.Encode(&img, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		f.Fatal(err)
	}
	for i := range 2 {
		name := fmt.Sprintf("a/%d.png", i)
		to, err := w.begin(name, img.Bytes())
		if err != nil {
			f.Fatal(err)
		}
		fmt.Fprintf(&index, `{"image":%q,"class":"a","label":"good","shard":0,"at":%d,"bytes":%d,"crc32c":%d}`+"\n", name, b.Len(), img.Len(), crc32.Checksum(img.Bytes(), crc32.MakeTable(crc32.Castagnoli)))
		if _, err := to.Write(img.Bytes()); err != nil {
			f.Fatal(err)
		}
		if err := w.end(); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		f.Fatal(err)
	}
	s, err := dataset.NewShards(f.Context(), fstest.MapFS{dataset.ShardsFile: {Data: rehead(index.Bytes(), b.Bytes(), archiveName)}, "index.jsonl": {Data: index.Bytes()}, archiveName: {Data: b.Bytes()}}, dataset.DefaultConfig())
	if err == nil {
		err = errors.Join(s.Verify(f.Context()), s.Close())
	}
	if err != nil {
		f.Fatal(err) // the seed is sound
	}
	f.Add(index.Bytes(), b.Bytes())
	f.Add([]byte(`{"image":"a","mask":"b","label":"defective","shard":0,"at":0,"bytes":0,"crc32c":0,"mask_at":3,"mask_bytes":1,"mask_crc32c":4}`), []byte("12345"))
	f.Fuzz(func(t *testing.T, index, archive []byte) {
		fsys := fstest.MapFS{dataset.ShardsFile: {Data: rehead(index, archive, archiveName)}, "index.jsonl": {Data: index}, archiveName: {Data: archive}}
		cfg := dataset.DefaultConfig()
		cfg.Decoder.MaxPixels = 1 << 16
		s, err := dataset.NewShards(t.Context(), fsys, cfg)
		if err != nil {
			return
		}
		defer s.Close()
		_ = s.Verify(t.Context())
		w, err := s.Window(dataset.WindowConfig{Images: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for i := range min(s.Len(), 20) {
			_, err := s.Sample(t.Context(), i)
			for j := range s.Len() {
				if w.Item(j).Name != s.Item(i).Name {
					continue
				}
				if _, again := w.Sample(t.Context(), j); (err == nil) != (again == nil) {
					t.Fatalf("image %d: %v, in a window: %v", i, err, again)
				}
				break
			}
		}
	})
}

// numbers are the numbers of a window's images among those of the shards.
func numbers(t *testing.T, s *dataset.Shards, w *dataset.Window) []int {
	at := byName(t, s)
	out := make([]int, w.Len())
	for i := range out {
		out[i] = at[w.Item(i).Name]
	}
	return out
}

func TestWindowIsAnOrderOfAll(t *testing.T) {
	_, ds := folder(t, 40)
	dir, s := shardsOf(t, ds, nil)
	n := s.Len()
	for _, root := range []*dataset.Shards{s, openShards(t, frontFS{os.DirFS(dir)}, nil),
		openShards(t, os.DirFS(dir), func(c *dataset.Config) { c.Classes = []string{"nut"} })} {
		for _, images := range []int{1, 7, 64, n, 10 * n} {
			w, err := root.Window(dataset.WindowConfig{Images: images, Seed: 3, Epoch: 1})
			require.NoError(t, err)
			sameSamples(t, root, w) // from the front to the back
			sameSamples(t, root, w) // and once more
			for i := range w.Len() {
				_, err := w.Sample(t.Context(), i*31%w.Len()) // anywhere
				require.NoError(t, err)
			}
			require.NoError(t, w.Close())
			_, err = w.Sample(t.Context(), 0) // still there, one by one
			require.NoError(t, err)
		}
	}
	order := func(c dataset.WindowConfig) []int {
		w, err := s.Window(c)
		require.NoError(t, err)
		return numbers(t, s, w)
	}
	a := order(dataset.WindowConfig{Images: 30, Seed: 1})
	require.Equal(t, a, order(dataset.WindowConfig{Images: 30, Seed: 1, From: 9}))
	require.NotEqual(t, a, order(dataset.WindowConfig{Images: 30, Seed: 2}))
	require.NotEqual(t, a, order(dataset.WindowConfig{Images: 30, Seed: 1, Epoch: 1}))
	for _, c := range []dataset.WindowConfig{{Images: 0}, {Images: 1, From: -1}, {Images: 1, From: n + 1}} {
		_, err := s.Window(c)
		require.ErrorIs(t, err, dataset.ErrConfig)
	}
}

// The order is as good as its comment says: a place and the place on disk within the order of shards
// are less than two windows apart, and within a window they are uncorrelated.
func TestWindowMixes(t *testing.T) {
	_, ds := folder(t, 200)
	_, s := shardsOf(t, ds, func(c *dataset.ShardsConfig) { c.Bytes = 1 << 30 }) // one shard, so that the order of shards is known
	const images = 100
	w, err := s.Window(dataset.WindowConfig{Images: images, Seed: 5})
	require.NoError(t, err)
	same, sum := 0, 0.0
	at := numbers(t, s, w)
	for i, k := range at {
		require.Less(t, math.Abs(float64(i-k)), float64(images))
		sum += math.Abs(float64(i - k))
		if i > 0 && k == at[i-1]+1 {
			same++
		}
	}
	// An even shuffle of n moves by (n-1/n)/3 on average; neighbours stay so once a window.
	require.InDelta(t, images/3.0, sum/float64(len(at)), 3)
	require.Less(t, same, 4*len(at)/images+5)
}

func TestWindowIsGoneOnWith(t *testing.T) {
	_, ds := folder(t, 40)
	dir, s := shardsOf(t, ds, nil)
	cfg := dataset.DefaultLoader()
	cfg.Batch, cfg.Workers = 4, 2
	cfg.Transform = dataset.Transform{Exact: image.Pt(4, 4)}
	read := func(w *dataset.Window, first, most int) (out []string) {
		l, err := dataset.NewLoader(w, cfg)
		require.NoError(t, err)
		for b, err := range l.BatchesFrom(t.Context(), first) {
			require.NoError(t, err)
			for k, it := range b.Items {
				sum := sha256.Sum256(fmt.Appendf(nil, "%v", b.Pixels[k*48:(k+1)*48]))
				out = append(out, it.Name+" "+hex.EncodeToString(sum[:8]))
			}
			if len(out) >= most {
				break
			}
		}
		return out
	}
	w, err := s.Window(dataset.WindowConfig{Images: 33, Seed: 2, Epoch: 4})
	require.NoError(t, err)
	all := read(w, 0, s.Len())
	require.Len(t, all, s.Len())
	for _, stop := range []int{0, 1, 4, 31, 32, 33, 60, s.Len() - 1, s.Len()} {
		text, err := json.Marshal(w.Position(stop))
		require.NoError(t, err)
		var p dataset.WindowPosition
		require.NoError(t, json.Unmarshal(text, &p))
		again, err := openShards(t, os.DirFS(dir), nil).Resume(p)
		require.NoError(t, err)
		require.Equal(t, all[stop:], append([]string{}, read(again, p.Next, s.Len())...))
	}
	p := w.Position(1)
	p.Index = "another"
	_, err = s.Resume(p)
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// A position is of a choice of images, and as many other ones are not gone on with.
func TestWindowPositionIsOfAChoice(t *testing.T) {
	_, ds := folder(t, 40)
	dir, _ := shardsOf(t, ds, nil)
	chosen := func(split string, classes ...string) *dataset.Shards {
		return openShards(t, os.DirFS(dir), func(c *dataset.Config) { c.Split, c.Classes = split, classes })
	}
	at := func(s *dataset.Shards) dataset.WindowPosition {
		w, err := s.Window(dataset.WindowConfig{Images: 7, Seed: 2})
		require.NoError(t, err)
		text, err := json.Marshal(w.Position(3))
		require.NoError(t, err)
		var p dataset.WindowPosition
		require.NoError(t, json.Unmarshal(text, &p))
		return p
	}
	bolts := at(chosen("", "bolt"))
	for _, same := range []*dataset.Shards{chosen("", "bolt"), chosen("", "bolt")} {
		w, err := same.Resume(bolts)
		require.NoError(t, err)
		require.Equal(t, bolts, w.Position(3))
	}
	other := chosen("", "nut")
	require.Equal(t, bolts.Count, other.Len(), "as many")
	_, err := other.Resume(bolts)
	require.ErrorIs(t, err, dataset.ErrConfig)
	require.ErrorContains(t, err, "another choice")
	two := at(chosen(dataset.Train, "bolt", "nut"))
	_, err = chosen(dataset.Train, "nut", "端子").Resume(two)
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = chosen(dataset.Train, "nut", "bolt").Resume(two)
	require.NoError(t, err, "the same images, in whatever order they are asked for")

	all := at(chosen(""))
	_, err = chosen("", "bolt", "nut", "端子").Resume(all)
	require.NoError(t, err, "all of them by name")
	none := bolts
	none.Choice = "" // as a position of all images has it
	_, err = chosen("", "bolt").Resume(none)
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// countFS counts how often archives are opened and read in their midst.
type countFS struct {
	fs.FS
	opened, jumps atomic.Int64
}

type countFile struct {
	fs.File
	io.ReaderAt
	of *countFS
}

func (c *countFS) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".tar") {
		return f, err
	}
	c.opened.Add(1)
	return countFile{f, f.(io.ReaderAt), c}, nil
}

func (f countFile) ReadAt(p []byte, at int64) (int, error) {
	f.of.jumps.Add(1)
	return f.ReaderAt.ReadAt(p, at)
}

// Who reads in the order of a window reads archives from front to back, also on several
// goroutines, also when a partner is drawn for each image.
func TestWindowReadsInOneGo(t *testing.T) {
	_, ds := folder(t, 60)
	dir, _ := shardsOf(t, ds, nil)
	c := &countFS{FS: os.DirFS(dir)}
	s := openShards(t, c, nil)
	w, err := s.Window(dataset.WindowConfig{Images: 50, Seed: 2})
	require.NoError(t, err)
	cfg := dataset.DefaultLoader()
	cfg.Batch, cfg.Workers, cfg.Transform, cfg.AheadBytes = 1, 4, dataset.Transform{Exact: image.Pt(4, 4)}, 6*4*4*3*4
	l, err := dataset.NewLoader(w, cfg)
	require.NoError(t, err)
	for range 2 {
		for _, err := range l.BatchesFrom(t.Context(), 0) {
			require.NoError(t, err)
		}
	}
	require.Zero(t, c.jumps.Load())
	require.LessOrEqual(t, c.opened.Load(), int64(2*s.Shards()+2))

	w, err = s.Window(dataset.WindowConfig{Images: 20, Seed: 2})
	require.NoError(t, err)
	for i := range w.Len() {
		_, err := w.Sample(t.Context(), i)
		require.NoError(t, err)
		_, err = w.Sample(t.Context(), i*101%w.Len())
		require.NoError(t, err)
	}
	// An image that was somebody's partner is read again in its turn.
	require.LessOrEqual(t, c.jumps.Load(), int64(w.Len()*5/4))
	require.NoError(t, w.Close())
}

// Goroutines that read at the same time get each image once, as one that reads alone.
func TestWindowConcurrent(t *testing.T) {
	_, ds := folder(t, 40)
	_, s := shardsOf(t, ds, nil)
	w, err := s.Window(dataset.WindowConfig{Images: 25, Seed: 2})
	require.NoError(t, err)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				for _, k := range []int{i, i * 7 % w.Len()} { // and a partner
					got, err := w.Sample(context.Background(), k)
					if err != nil || got.Item != w.Item(k) {
						t.Errorf("image %d: %v, %v", k, got.Item, err)
					}
				}
			}
		}()
	}
	for range 2 {
		for i := range w.Len() {
			next <- i
		}
	}
	close(next)
	wg.Wait()
}

// listFS counts which folders are read.
type listFS struct {
	fstest.MapFS
	read map[string]int
}

func (l listFS) ReadDir(name string) ([]fs.DirEntry, error) {
	l.read[name]++
	return l.MapFS.ReadDir(name)
}

// Opening one class of many looks into no other.
func TestMVTecADLooksIntoAskedClasses(t *testing.T) {
	files, _ := folder(t, 4)
	l := listFS{files, map[string]int{}}
	cfg := dataset.DefaultMVTecAD()
	cfg.Classes = []string{"nut"}
	ds, err := dataset.NewMVTecAD(l, cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"nut"}, ds.Classes())
	require.NotZero(t, l.read["nut"])
	for name := range l.read {
		require.True(t, name == "." || strings.HasPrefix(name, "nut"), name)
	}
	cfg.Classes = []string{"nut", "none"}
	_, err = dataset.NewMVTecAD(l, cfg)
	require.ErrorContains(t, err, "found bolt, nut", "a class that is missing is named with those that are there")
}
