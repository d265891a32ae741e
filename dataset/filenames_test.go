package dataset_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Names that are no UTF-8 are read from a disk, beside others, and a file called as
// such a name is shown stays itself.
func TestNamesOnDiskThatAreNotUTF8(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems have no such names")
	}
	p := flat(t, 4, 4, 7)
	gbk := "\xb6\xcb\xd7\xd3"
	dir := t.TempDir()
	for _, name := range []string{"part/train/good/100%.png", gbk + "/train/good/1%.png", gbk + "/train/good/" + gbk + "-50%.png", gbk + "/train/good/x%B6.png"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		if err := os.WriteFile(filepath.Join(dir, name), p.Data, 0o644); err != nil {
			t.Skipf("the file system of temporary files has no such names: %v", err)
		}
	}
	ds, err := dataset.OpenMVTecAD(dir, "", "")
	require.NoError(t, err)
	require.Equal(t, []string{"%B6%CB%D7%D3", "part"}, ds.Classes())
	require.Equal(t, []string{"%B6%CB%D7%D3/train/good/%B6%CB%D7%D3-50%25.png", "%B6%CB%D7%D3/train/good/1%.png", "%B6%CB%D7%D3/train/good/x%B6.png", "part/train/good/100%.png"}, names(ds))
	for i := range ds.Len() {
		_, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
	}
	one, err := dataset.OpenMVTecAD(dir, "%B6%CB%D7%D3", "")
	require.NoError(t, err)
	require.Equal(t, 3, one.Len())
	root, closer, err := dataset.OpenRoot(dir)
	require.NoError(t, err)
	folders, err := dataset.NewLayout(t.Context(), root, dataset.LayoutMVTecAD, dataset.DefaultConfig())
	require.NoError(t, err)
	require.Equal(t, 4, folders.Len())
	require.NoError(t, closer.Close())
	require.NoError(t, fstest.TestFS(root, "part/train/good/100%.png", "%B6%CB%D7%D3/train/good/x%B6.png"))

	// Two names that would be shown alike are not told apart by luck.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "%B6%CB%D7%D3"), 0o755))
	_, err = dataset.OpenMVTecAD(dir, "", "")
	require.ErrorContains(t, err, "two files have this name")
}

// Names in zip files without the mark of UTF-8 are those that zip programs mean.
func TestNamesInZipFiles(t *testing.T) {
	p := flat(t, 4, 4, 7)
	unicodePath := func(raw, name string) []byte {
		body := append([]byte{1}, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(raw)))...)
		body = append(body, name...)
		return append(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, 0x7075), uint16(len(body))), body...)
	}
	for what, c := range map[string]struct {
		names map[string][]byte // raw name: extra field
		utf8  bool
		want  []string
	}{
		"GBK, without a mark":          {map[string][]byte{"\xb6\xcb\xd7\xd3/train/good/0.png": nil}, false, []string{"╢╦╫╙/train/good/0.png"}},
		"code page 437":                {map[string][]byte{"Pr\x81fling/train/good/0.png": nil}, false, []string{"Prüfling/train/good/0.png"}},
		"UTF-8, without a mark":        {map[string][]byte{"端子/train/good/0.png": nil}, false, []string{"端子/train/good/0.png"}},
		"UTF-8, with a mark":           {map[string][]byte{"端子/train/good/0.png": nil}, true, []string{"端子/train/good/0.png"}},
		"a mark that is not true":      {map[string][]byte{"Pr\x81fling/train/good/0.png": nil}, true, []string{"Prüfling/train/good/0.png"}},
		"one code page for all":        {map[string][]byte{"a/train/good/\x81.png": nil, "a/train/good/\xc3\xa9.png": nil}, false, []string{"a/train/good/ü.png", "a/train/good/├⌐.png"}},
		"Info-ZIP's Unicode path":      {map[string][]byte{"??/train/good/0.png": unicodePath("??/train/good/0.png", "端子/train/good/0.png")}, false, []string{"端子/train/good/0.png"}},
		"a Unicode path of other name": {map[string][]byte{"b/train/good/0.png": unicodePath("x", "c/train/good/0.png")}, false, []string{"b/train/good/0.png"}},
	} {
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		for name, extra := range c.names {
			h := &zip.FileHeader{Name: name, Method: zip.Store, NonUTF8: !c.utf8, Extra: extra}
			if c.utf8 {
				h.Flags = 0x800
			}
			w, err := z.CreateHeader(h)
			require.NoError(t, err)
			_, err = w.Write(p.Data)
			require.NoError(t, err)
		}
		require.NoError(t, z.Close())
		data := buf.Bytes()
		if c.utf8 { // the writer clears the mark of names that are no UTF-8
			for _, at := range []string{"PK\x03\x04", "PK\x01\x02"} {
				i := bytes.Index(data, []byte(at))
				data[i+map[string]int{"PK\x03\x04": 7, "PK\x01\x02": 9}[at]] |= 8
			}
		}
		file := filepath.Join(t.TempDir(), "d.zip")
		require.NoError(t, os.WriteFile(file, data, 0o644))
		root, closer, err := dataset.OpenRoot(file)
		require.NoError(t, err, what)
		ds, err := dataset.NewLayout(t.Context(), root, dataset.LayoutMVTecAD, dataset.DefaultConfig())
		require.NoError(t, err, what)
		require.Equal(t, c.want, names(ds), what)
		_, err = ds.Sample(t.Context(), 0)
		require.NoError(t, err, what)
		require.NoError(t, closer.Close())
	}
}
