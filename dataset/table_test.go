package dataset_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// encodedTexts are the ways in which spreadsheets and editors save a text.
func encodedTexts(text string) map[string][]byte {
	wide := func(order binary.AppendByteOrder, mark bool) []byte {
		var out []byte
		if mark {
			out = order.AppendUint16(out, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(text)) {
			out = order.AppendUint16(out, u)
		}
		return out
	}
	return map[string][]byte{
		"UTF-8": []byte(text), "UTF-8 with a mark": []byte("\xef\xbb\xbf" + text),
		"UTF-16LE": wide(binary.LittleEndian, true), "UTF-16BE": wide(binary.BigEndian, true),
		"UTF-16LE without a mark": wide(binary.LittleEndian, false), "UTF-16BE without a mark": wide(binary.BigEndian, false),
		"lines of Windows": []byte(strings.ReplaceAll(text, "\n", "\r\n")),
	}
}

// A list is the same however a spreadsheet has saved it.
func TestTablesAsSpreadsheetsSaveThem(t *testing.T) {
	p, m := flat(t, 4, 4, 1), maskFile(t, 4, 4)
	text := "object,split,label,image,mask\nKerze ä,train,normal,d/0.png,\nKerze ä,test,normal,d/1.png,\nKerze ä,test,anomaly,d/2.png,m/2.png\n"
	want := map[string]string{"d/0.png": "Kerze ä train good good ", "d/1.png": "Kerze ä test good good ", "d/2.png": "Kerze ä test anomaly defective m/2.png"}
	quoted := strings.NewReplacer("object", `"object"`, "label", `"label"`).Replace(text)
	for what, c := range map[string]string{
		"commas": text, "semicolons": strings.ReplaceAll(text, ",", ";"), "tabs": strings.ReplaceAll(text, ",", "\t"),
		"sep": "sep=;\n" + strings.ReplaceAll(text, ",", ";"), "SEP, quoted": "\"SEP=|\"\n" + strings.ReplaceAll(text, ",", "|"), "sep, comma": "sep=,\n" + text,
		"backslashes": strings.ReplaceAll(text, "/", `\`), "quotes": quoted, "capital names": strings.Replace(text, "object,split,label,image,mask", "Object,Split, Label,IMAGE,Mask", 1),
		"other words": strings.NewReplacer("normal", "OK", "anomaly", "NG").Replace(text), "an empty line first": "\n" + text,
	} {
		for how, data := range encodedTexts(c) {
			fsys := fstest.MapFS{"split_csv/1cls.csv": {Data: data}, "d/0.png": p, "d/1.png": p, "d/2.png": p, "m/2.png": m}
			ds, err := dataset.NewVisA(fsys, dataset.DefaultConfig())
			require.NoError(t, err, "%s, %s", what, how)
			require.Equal(t, want, summary(ds), "%s, %s", what, how)
			require.Empty(t, ds.Issues(), "%s, %s", what, how)
		}
	}
	for bad, message := range map[string]string{
		"sep=::\nobject": `names no separator`, "object;split;label;image\n": `there is no column "mask" in its first line`, "": "in its first line",
		"object,split,label,image,mask\n": "the list is empty",
	} {
		_, err := dataset.NewVisA(fstest.MapFS{"split_csv/1cls.csv": {Data: []byte(bad)}}, dataset.DefaultConfig())
		require.ErrorIs(t, err, dataset.ErrLayout, bad)
		require.ErrorContains(t, err, message, bad)
	}
}

// A name with a backslash that is there stays that name.
func TestBackslashesThatAreNames(t *testing.T) {
	p := flat(t, 4, 4, 1)
	fsys := fstest.MapFS{"manifest.jsonl": csvFile(`{"image":"a\\0.png","class":"x","label":"good"}`, `{"image":"b\\0.png","class":"x","label":"good"}`), `a\0.png`: p, "a/0.png": p, "b/0.png": p}
	ds, err := dataset.NewManifest(fsys, "manifest.jsonl", dataset.DefaultConfig())
	require.NoError(t, err)
	require.Equal(t, []string{`a\0.png`, "b/0.png"}, names(ds))
	chosen, err := dataset.Apply(ds, []dataset.Item{{Name: `b\0.png`, Defect: dataset.Good, Label: dataset.LabelGood}})
	require.NoError(t, err)
	require.Equal(t, []string{"b/0.png"}, names(chosen))
	// A path out of the root stays refused.
	_, err = dataset.NewManifest(fstest.MapFS{"manifest.jsonl": csvFile(`{"image":"..\\0.png","class":"x","label":"good"}`), "0.png": p}, "manifest.jsonl", dataset.DefaultConfig())
	require.ErrorContains(t, err, "none of its 1 images is there")
}

func TestManifestsAsEditorsSaveThem(t *testing.T) {
	text := `{"image":"ä/0.png","class":"x","split":"train","label":"good"}` + "\n" + `{"image":"ä/1.png","class":"x","split":"test","label":"defective","defect":"cut"}` + "\n"
	want, err := dataset.ReadManifest(strings.NewReader(text))
	require.NoError(t, err)
	require.Len(t, want, 2)
	for how, data := range encodedTexts(text) {
		got, err := dataset.ReadManifest(strings.NewReader(string(data)))
		require.NoError(t, err, how)
		require.Equal(t, want, got, how)
	}
	_, err = dataset.ReadManifest(strings.NewReader(`{"image":"a\0.png"}`))
	require.ErrorContains(t, err, "in JSON a backslash is written twice, or a slash instead")
}
