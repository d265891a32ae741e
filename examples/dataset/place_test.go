package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Names in any script are kept: two classes never become one.
func TestConvertKeepsNames(t *testing.T) {
	root, to := t.TempDir(), filepath.Join(t.TempDir(), "out")
	for i, class := range []string{"端子", "螺丝", "Prüfling", "Деталь", "100%", "a:b", "con"} {
		put(t, root, class+"/train/good/良品 1.png", grey(20, 12, i))
		put(t, root, class+"/test/good/良品 1.png", grey(20, 12, 10+i))
		put(t, root, class+"/test/欠け/1.png", grey(20, 12, 20+i))
		put(t, root, class+"/test/NG/1.png", grey(20, 12, 30+i))
	}
	put(t, root, "端子/test/NG/1.jpg", grey(20, 12, 40)) // the same name with another ending
	out, _, err := do(t, "convert", "-data", root, "-out", to)
	require.NoError(t, err)
	require.Contains(t, out, "29 images")
	was, err := dataset.OpenMVTecAD(root, "", "")
	require.NoError(t, err)
	now, err := dataset.OpenMVTecAD(to, "", "")
	require.NoError(t, err)
	require.Empty(t, now.Issues())
	require.Equal(t, 29, now.Len())
	original := func(name string) string { // the reader of these names is the eye
		o, err := url.PathUnescape(name)
		require.NoError(t, err)
		return o
	}
	var classes []string
	for _, c := range now.Classes() {
		classes = append(classes, original(c))
	}
	require.ElementsMatch(t, was.Classes(), classes)
	count := func(ds dataset.Dataset, of func(string) string) map[string]int {
		out := make(map[string]int)
		for _, it := range dataset.Items(ds) {
			base := filepath.Base(it.Name)
			name := filepath.Base(of(strings.TrimSuffix(base, filepath.Ext(base))))
			out[fmt.Sprintf("%s %s %s %s", of(it.Class), it.Split, of(it.Defect), strings.TrimSuffix(name, filepath.Ext(name)))]++
		}
		return out
	}
	same := func(s string) string { return s }
	require.Equal(t, count(was, same), count(now, original))
	for _, name := range []string{"端子/train/good/良品 1.png", "100%25/test/欠け/1.png", "a%3Ab/test/NG/1.png", "%63on/test/NG/1.png", "端子/test/NG/端子%2Ftest%2FNG%2F1.jpg.png"} {
		require.FileExists(t, filepath.Join(to, name))
	}
}

// What would become one file, or be read as something else, is refused.
func TestConvertRefusesCollisions(t *testing.T) {
	root := t.TempDir()
	put(t, root, "a/train/good/x.png", grey(20, 12, 1))
	put(t, root, "a/train/good/X.png", grey(20, 12, 2))
	put(t, root, "a/test/bad/1.png", grey(20, 12, 3))
	if entries, err := os.ReadDir(filepath.Join(root, "a/train/good")); err != nil || len(entries) < 2 {
		t.Skip("the disk does not tell capitals from small letters")
	}
	_, _, err := do(t, "convert", "-data", root, "-out", filepath.Join(t.TempDir(), "o"))
	require.ErrorContains(t, err, "a/train/good/X.png and a/train/good/x.png would get the same name")

	for defect, message := range map[string]string{"label": "is defective, and would be read as unknown", "OK": "is defective, and would be read as good"} {
		lines := []string{`{"image":"a/train/good/x.png","class":"a","split":"train","label":"good"}`,
			`{"image":"a/train/good/X.png","class":"a","split":"test","label":"good"}`,
			fmt.Sprintf(`{"image":"a/test/bad/1.png","class":"a","split":"test","label":"defective","defect":%q}`, defect)}
		putBytes(t, root, "manifest.jsonl", []byte(strings.Join(lines, "\n")))
		to := filepath.Join(t.TempDir(), "out")
		_, _, err = do(t, "convert", "-data", root, "-layout", "manifest", "-out", to)
		require.ErrorContains(t, err, message)
		require.NoDirExists(t, to)
	}
}
