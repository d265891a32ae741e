package dataset_test

import (
	"archive/zip"
	"bytes"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"

	"github.com/gotab/gotab/dataset"
)

func bmpFile(t testing.TB, w, h int) *fstest.MapFile {
	var buf bytes.Buffer
	require.NoError(t, bmp.Encode(&buf, image.NewGray(image.Rect(0, 0, w, h))))
	return &fstest.MapFile{Data: buf.Bytes()}
}

// grayFile is a picture or mask of one level; a value at the first pixel.
func grayFile(t testing.TB, w, h int, first byte) *fstest.MapFile {
	m := image.NewGray(image.Rect(0, 0, w, h))
	m.Pix[0] = first
	return &fstest.MapFile{Data: pngBytes(t, m)}
}

func csvFile(lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
}

// layouts are data sets in exactly their published layout, quirks included.
func layouts(t testing.TB) map[dataset.Layout]fstest.MapFS {
	return map[dataset.Layout]fstest.MapFS{
		dataset.LayoutMVTecAD: mvtec(t),
		dataset.LayoutMVTecAD2: {
			"license.txt":                                           text(),
			"can/train/good/000_regular.png":                        flat(t, 6, 4, 1),
			"can/train/good/001_regular.png":                        flat(t, 6, 4, 1),
			"can/validation/good/000_over.png":                      flat(t, 6, 4, 1),
			"can/test_public/good/000_regular.png":                  flat(t, 6, 4, 1),
			"can/test_public/good/000_overexposed.png":              flat(t, 6, 4, 1),
			"can/test_public/bad/001_regular.png":                   flat(t, 6, 4, 1),
			"can/test_public/bad/001_shift_1.png":                   flat(t, 6, 4, 1),
			"can/test_public/ground_truth/bad/001_regular_mask.png": maskFile(t, 6, 4),
			"can/test_private/000_regular.png":                      flat(t, 6, 4, 1),
			"can/test_private_mixed/000_mixed.png":                  flat(t, 6, 4, 1),
			"rice/train/good/000_regular.png":                       flat(t, 5, 5, 1),
		},
		dataset.LayoutBTAD: {
			"BTech_Dataset_transformed/01/train/ok/0000.bmp":        bmpFile(t, 16, 16),
			"BTech_Dataset_transformed/01/test/ok/0000.bmp":         bmpFile(t, 16, 16),
			"BTech_Dataset_transformed/01/test/ko/0000.bmp":         bmpFile(t, 16, 16),
			"BTech_Dataset_transformed/01/ground_truth/ko/0000.png": maskFile(t, 16, 16),
			"BTech_Dataset_transformed/02/train/ok/0000.png":        flat(t, 6, 6, 1),
			"BTech_Dataset_transformed/02/test/ko/0000.png":         flat(t, 6, 6, 1),
			"BTech_Dataset_transformed/02/ground_truth/ko/0000.png": maskFile(t, 6, 6),
			"BTech_Dataset_transformed/03/train/ok/0000.bmp":        bmpFile(t, 8, 6),
			"BTech_Dataset_transformed/03/test/ko/0000.bmp":         bmpFile(t, 8, 6),
			"BTech_Dataset_transformed/03/ground_truth/ko/0000.bmp": bmpFile(t, 8, 6),
		},
		dataset.LayoutKSDD2: {
			"train/10000.png": flat(t, 230, 630, 1), "train/10000_GT.png": grayFile(t, 230, 630, 0),
			"train/10001.png": flat(t, 229, 632, 1), "train/10001_GT.png": grayFile(t, 229, 632, 1),
			"train/10002.png": flat(t, 230, 630, 1), "train/10002_GT.png": grayFile(t, 230, 630, 0),
			"train/10301(copy).png": flat(t, 4, 4, 1), "train/copy.png": text(),
			"train/10009.png": flat(t, 4, 4, 1), "train/10010_GT.png": grayFile(t, 4, 4, 0),
			"test/20000.png": flat(t, 230, 630, 1), "test/20000_GT.png": grayFile(t, 230, 630, 255),
			"test/20001.png": flat(t, 230, 630, 1), "test/20001_GT.png": grayFile(t, 230, 630, 0),
			"split_weakly_0.pyb": text(),
		},
		dataset.LayoutVisA: {
			"candle/Data/Images/Normal/0000.JPG": flat(t, 6, 4, 1),
			"candle/Data/Images/Normal/0001.JPG": flat(t, 6, 4, 1),
			"candle/Data/Images/Anomaly/000.JPG": flat(t, 6, 4, 1),
			"candle/Data/Images/Anomaly/001.JPG": flat(t, 6, 4, 1),
			"candle/Data/Masks/Anomaly/000.png":  grayFile(t, 6, 4, 1),
			"candle/Data/Masks/Anomaly/001.png":  grayFile(t, 6, 4, 4),
			"candle/image_anno.csv":              csvFile("image,label,mask", "candle/Data/Images/Anomaly/001.JPG,\"chunk of wax missing,melt\",candle/Data/Masks/Anomaly/001.png"),
			"pcb1/Data/Images/Normal/0000.JPG":   flat(t, 6, 4, 1),
			"split_csv/1cls.csv": csvFile("object,split,label,image,mask",
				"candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
				"candle,test,normal,candle/Data/Images/Normal/0001.JPG,",
				"candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
				"candle,test,anomaly,candle/Data/Images/Anomaly/001.JPG,candle/Data/Masks/Anomaly/001.png",
				"candle,test,normal,candle/Data/Images/Normal/0009.JPG,",
				"candle,test,odd,candle/Data/Images/Normal/0001.JPG,",
				"candle,test,normal,candle/Data/Images/Normal/0001.JPG,",
				"pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,"),
			"split_csv/2cls_fewshot.csv": csvFile("object,split,label,image,mask",
				"candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/gone.png",
				"candle,test,normal,candle/Data/Images/Normal/0001.JPG,"),
		},
		dataset.LayoutMPDD: {
			"bracket_black/train/good/000.png":             flat(t, 6, 4, 1),
			"bracket_black/test/good/000.png":              flat(t, 6, 4, 1),
			"bracket_black/test/hole/000.png":              flat(t, 6, 4, 1),
			"bracket_black/ground_truth/hole/000_mask.png": maskFile(t, 6, 4),
			"tubes/train/good/000.png":                     flat(t, 6, 4, 1),
			"tubes/test/anomalous/000.png":                 flat(t, 6, 4, 1),
			"tubes/ground_truth/anomalous/000_mask.png":    maskFile(t, 6, 4),
		},
		dataset.LayoutFolders: {
			"Bent Metal Stripe/1.png": flat(t, 4, 3, 1), "Bent Metal Stripe/2.png": flat(t, 4, 3, 2),
			"Plaid/a b.jpg": flat(t, 4, 3, 3),
		},
		dataset.LayoutGoodBad: {
			"good/1.png": flat(t, 4, 3, 1), "good/2.png": flat(t, 4, 3, 2),
			"bad/1.png": flat(t, 4, 3, 3), "bad/3.png": flat(t, 4, 3, 4), "masks/1.png": maskFile(t, 4, 3),
		},
		dataset.LayoutManifest: {
			"manifest.jsonl": csvFile(`{"image":"a/1.png","class":"x","split":"train"}`, ``,
				`{"image":"a/2.png","class":"x","split":"test","defect":"cut","mask":"m/2.png","group":"g"}`),
			"a/1.png": flat(t, 4, 3, 1), "a/2.png": flat(t, 4, 3, 1), "m/2.png": maskFile(t, 4, 3),
		},
		dataset.LayoutShards:  shardFiles(t),
		dataset.LayoutMixedWM: {"MixedWM38.npz": wafers(t, zip.Deflate, make([]byte, 2*6), []int{2, 3, 2}, append(make([]byte, 8), 1, 0, 0, 0, 0, 0, 0, 0))["w.npz"]},
	}
}

// shardFiles are the pictures of the manifest's layout in shards.
func shardFiles(t testing.TB) fstest.MapFS {
	t.Helper()
	ds, err := dataset.NewManifest(fstest.MapFS{
		"list.jsonl": csvFile(`{"image":"a/1.png","class":"x","split":"train"}`, `{"image":"a/2.png","class":"x","split":"test","defect":"cut","mask":"m/2.png","group":"g"}`),
		"a/1.png":    flat(t, 4, 3, 1), "a/2.png": flat(t, 4, 3, 1), "m/2.png": maskFile(t, 4, 3),
	}, "list.jsonl", dataset.DefaultConfig())
	require.NoError(t, err)
	cfg := dataset.DefaultShards()
	cfg.Shuffle = false
	dir := filepath.Join(t.TempDir(), "set")
	require.NoError(t, dataset.WriteShards(t.Context(), dir, ds, cfg))
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

// want are the items of layouts, one line each.
func want() map[dataset.Layout]string {
	return map[dataset.Layout]string{
		dataset.LayoutMVTecAD2: `
can/train/good/000_regular.png can train good  can/train/good/000
can/train/good/001_regular.png can train good  can/train/good/001
can/validation/good/000_over.png can validation good  can/validation/good/000
can/test_public/bad/001_regular.png can test bad can/test_public/ground_truth/bad/001_regular_mask.png can/test_public/bad/001
can/test_public/bad/001_shift_1.png can test bad  can/test_public/bad/001
can/test_public/good/000_overexposed.png can test good  can/test_public/good/000
can/test_public/good/000_regular.png can test good  can/test_public/good/000
rice/train/good/000_regular.png rice train good  rice/train/good/000`,
		dataset.LayoutBTAD: `
01/train/ok/0000.bmp 01 train good  
01/test/ko/0000.bmp 01 test ko 01/ground_truth/ko/0000.png 
01/test/ok/0000.bmp 01 test good  
02/train/ok/0000.png 02 train good  
02/test/ko/0000.png 02 test ko 02/ground_truth/ko/0000.png 
03/train/ok/0000.bmp 03 train good  
03/test/ko/0000.bmp 03 test ko 03/ground_truth/ko/0000.bmp `,
		dataset.LayoutKSDD2: `
train/10000.png kolektorsdd2 train good train/10000_GT.png 
train/10002.png kolektorsdd2 train good train/10002_GT.png 
test/20000.png kolektorsdd2 test defect test/20000_GT.png 
test/20001.png kolektorsdd2 test good test/20001_GT.png `,
		dataset.LayoutVisA: `
candle/Data/Images/Normal/0000.JPG candle train good  
candle/Data/Images/Anomaly/000.JPG candle test anomaly candle/Data/Masks/Anomaly/000.png 
candle/Data/Images/Anomaly/001.JPG candle test chunk of wax missing,melt candle/Data/Masks/Anomaly/001.png 
candle/Data/Images/Normal/0001.JPG candle test good  
pcb1/Data/Images/Normal/0000.JPG pcb1 train good  `,
		dataset.LayoutMPDD: `
bracket_black/train/good/000.png bracket_black train good  
bracket_black/test/good/000.png bracket_black test good  
bracket_black/test/hole/000.png bracket_black test hole bracket_black/ground_truth/hole/000_mask.png 
tubes/train/good/000.png tubes train good  
tubes/test/anomalous/000.png tubes test anomalous tubes/ground_truth/anomalous/000_mask.png `,
		dataset.LayoutFolders: `
Bent Metal Stripe/1.png Bent Metal Stripe train good  
Bent Metal Stripe/2.png Bent Metal Stripe train good  
Plaid/a b.jpg Plaid train good  `,
		dataset.LayoutGoodBad: `
bad/1.png product  bad masks/1.png 
bad/3.png product  bad  
good/1.png product  good  
good/2.png product  good  `,
		dataset.LayoutManifest: `
a/1.png x train good  
a/2.png x test cut m/2.png g`,
		dataset.LayoutShards: `
a/1.png x train good  
a/2.png x test cut m/2.png g`,
		dataset.LayoutMixedWM: `
00000 wafer  good  
00001 wafer  Center  `,
	}
}
