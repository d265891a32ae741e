package torchfile_test

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/internal/torchfile"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", name))
	require.NoError(t, err)
	return b
}

func read(b []byte) ([]safetensors.Tensor, error) {
	return torchfile.Read(bytes.NewReader(b), int64(len(b)))
}

// The files were written by torch.save; the script beside them says how.
func TestReadsWhatTorchWrote(t *testing.T) {
	dtypes := map[string]safetensors.DType{
		"float64": safetensors.F64, "float32": safetensors.F32, "float16": safetensors.F16, "bfloat16": safetensors.BF16,
		"int64": safetensors.I64, "int32": safetensors.I32, "int16": safetensors.I16, "int8": safetensors.I8,
		"uint8": safetensors.U8, "bool": safetensors.BOOL,
	}
	var want map[string][]struct {
		Name, DType, Hex string
		Shape            []int64
	}
	require.NoError(t, json.Unmarshal(fixture(t, "make.json"), &want))
	require.Len(t, want, 5)
	want["legacy"], want["wholemodel"] = want["module"], want["module"] // other forms of the same
	prefix := map[string]string{"wrapped": "state_dict.", "model": "model."}
	for file, ws := range want {
		t.Run(file, func(t *testing.T) {
			got, err := read(fixture(t, file+".pth"))
			require.NoError(t, err)
			require.Len(t, got, len(ws))
			for i, w := range ws {
				require.Equal(t, prefix[file]+w.Name, got[i].Name, "the order is kept")
				require.Equal(t, dtypes[w.DType], got[i].DType, w.Name)
				require.Equal(t, w.Shape, got[i].Shape, w.Name)
				require.Equal(t, w.Hex, hex.EncodeToString(got[i].Data), w.Name)
			}
			// What comes out can be written: shapes, types and lengths agree.
			_, err = safetensors.Write(io.Discard, nil, got)
			require.NoError(t, err)
			// Tied weights and views must not share bytes.
			for i := range got {
				before := fmt.Sprint(got[(i+1)%len(got)].Data)
				for j := range got[i].Data {
					got[i].Data[j] ^= 0xff
				}
				require.Equal(t, before, fmt.Sprint(got[(i+1)%len(got)].Data))
			}
		})
	}
}

func TestRefusesFixtures(t *testing.T) {
	cases := []struct {
		file string
		want error
		says string
	}{
		{"system.pth", torchfile.ErrUnsafe, `"posix.system"`},
		{"eval.pth", torchfile.ErrUnsafe, `"builtins.eval"`},
		{"script.pth", torchfile.ErrConvert, "torch.jit.load("},
		{"deflated.pth", torchfile.ErrFormat, "compressed"},
		{"make.json", torchfile.ErrFormat, "starts with"},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			ts, err := read(fixture(t, c.file))
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, ts)
			if errors.Is(c.want, torchfile.ErrUnsafe) {
				require.ErrorContains(t, err, "nothing was run")
			}
		})
	}
}

// entry is one file of an archive built by a test.
type entry struct {
	name string
	data string
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Store})
		require.NoError(t, err)
		_, err = io.WriteString(f, e.data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// pth is an archive with the given pickle and a storage "0" of 16 bytes.
func pth(t testing.TB, pickle string) []byte {
	return archive(t, entry{"m/data.pkl", pickle}, entry{"m/data/0", "0123456789abcdef"})
}

// Pieces of pickles.
func str(s string) string { return "X" + string([]byte{byte(len(s)), 0, 0, 0}) + s }
func num(v int64) string {
	b := []byte("\x8a\x08")
	for i := range 8 {
		b = append(b, byte(v>>(8*i)))
	}
	return string(b)
}
func tuple(items ...string) string { return "(" + strings.Join(items, "") + "t" }
func nums(v ...int64) string {
	s := "("
	for _, x := range v {
		s += num(x)
	}
	return s + "t"
}
func storage(class, key string, count int64) string {
	return tuple(str("storage"), "ctorch\n"+class+"\n", str(key), str("cpu"), num(count)) + "Q"
}
func tensor(storage string, offset int64, shape, stride string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n" + tuple(storage, num(offset), shape, stride, "\x89", "ccollections\nOrderedDict\n)R") + "R"
}
func state(items ...string) string { return "\x80\x02}(" + strings.Join(items, "") + "u." }

var four = storage("FloatStorage", "0", 4)

func TestHandMade(t *testing.T) {
	ts, err := read(pth(t, state(str("w"), tensor(four, 1, nums(2, 1), nums(2, 9)))))
	require.NoError(t, err)
	require.Equal(t, []safetensors.Tensor{{Name: "w", DType: safetensors.F32, Shape: []int64{2, 1}, Data: []byte("4567cdef")}}, ts)
	// A name is a path. What is no tensor is passed over.
	ts, err = read(pth(t, state(
		str("epoch"), num(3), str("none"), "N", str("rate"), "G\x3f\xe0\x00\x00\x00\x00\x00\x00",
		str("model"), "}"+str("a")+tensor(four, 0, nums(), nums())+"s",
		str("optimizer"), "}"+num(7)+"]"+tensor(four, 1, nums(), nums())+"as",
		str("pair"), "N"+tensor(four, 2, nums(), nums())+"\x86")))
	require.NoError(t, err)
	var names []string
	for _, x := range ts {
		names = append(names, x.Name+"="+string(x.Data))
	}
	require.Equal(t, []string{"model.a=0123", "optimizer.7.0=4567", "pair.1=89ab"}, names)
}

// What stands beside the tensors of a training program's file, in the instructions in which Python writes it, is passed
// over; nothing is made of it.
func TestWhatStandsBesideTensorsIsPassedOver(t *testing.T) {
	w := str("w") + tensor(four, 0, nums(), nums())
	for name, beside := range map[string]string{
		"an object":              "cargparse\nNamespace\n)\x81}" + str("lr") + num(1) + "sb",
		"an object, keywords":    "cargparse\nNamespace\n)}\x92",
		"an old object":          "(cargparse\nNamespace\no",
		"inst":                   "(ia.b\nC\n",
		"a call":                 "cpathlib\nPosixPath\n" + str("x") + "\x85R",
		"a name":                 "ctorch\nfloat32\n",
		"a call of a call":       "cnumpy\ndtype\n" + str("f8") + "\x85R(" + num(3) + str("<") + "NNNtb",
		"a set":                  "\x8f(" + num(1) + "\x90",
		"a frozen set":           "(" + num(1) + "\x91",
		"bytes":                  "C\x03abc",
		"more bytes":             "B\x03\x00\x00\x00abc",
		"an old string":          "U\x03abc",
		"a seed":                 "\x8a\x09" + strings.Repeat("\xff", 9),
		"a long seed":            "\x8b\x09\x00\x00\x00" + strings.Repeat("\xff", 9),
		"a string not UTF-8":     "X\x01\x00\x00\x00\xff",
		"an object's items":      "ca\nb\n)R(" + num(1) + num(2) + "u",
		"a list's items":         "ca\nb\n)R(" + num(1) + "e",
		"a list and a dict":      "(" + num(1) + "l(" + str("k") + "Nd\x86",
		"popped":                 "N(NN1",
		"doubled":                "N2\x86",
		"unknown storage":        "ctorch._utils\n_rebuild_tensor_v2\n" + tuple(tuple(str("storage"), "ctorch\nComplexFloatStorage\n", str("9"), str("cpu"), num(4))+"Q", num(0), nums(), nums()) + "R",
		"a dict with an int key": "}" + num(1) + num(2) + "s",
		"a call of a dict":       "})R",
	} {
		t.Run(name, func(t *testing.T) {
			ts, err := read(pth(t, "\x80\x05}("+str("a")+beside+w+str("b")+beside+"u."))
			require.NoError(t, err)
			require.Equal(t, []safetensors.Tensor{{Name: "w", DType: safetensors.F32, Shape: []int64{}, Data: []byte("0123")}}, ts)
		})
	}
}

// Tensors inside of other constructions are found, or told from what is none.
func TestTensorsInOtherForms(t *testing.T) {
	plain := tensor(four, 0, nums(2), nums(1))
	for name, form := range map[string]string{
		"a parameter":              "ctorch._utils\n_rebuild_parameter\n" + tuple(plain, "\x88", "ccollections\nOrderedDict\n)R") + "R",
		"a parameter with state":   "ctorch._utils\n_rebuild_parameter_with_state\n" + tuple(plain, "\x88", "N", "}") + "R",
		"a tensor with attributes": "ctorch._tensor\n_rebuild_from_type_v2\n" + tuple("ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nTensor\n", tuple(four, num(0), nums(2), nums(1), "\x89", "N"), "}") + "R",
	} {
		t.Run(name, func(t *testing.T) {
			ts, err := read(pth(t, state(str("w"), form)))
			require.NoError(t, err)
			require.Equal(t, []safetensors.Tensor{{Name: "w", DType: safetensors.F32, Shape: []int64{2}, Data: []byte("01234567")}}, ts)
		})
	}
	// Python 2 gave an OrderedDict its items as an argument.
	ts, err := read(pth(t, "\x80\x02ccollections\nOrderedDict\n](]("+str("w")+plain+"ee\x85R."))
	require.NoError(t, err)
	require.Len(t, ts, 1)
	require.Equal(t, "w", ts[0].Name)
	// A class of the same ending is not the function.
	_, err = read(pth(t, state(str("w"), "cevil\n_rebuild_tensor_v2\n"+tuple(four, num(0), nums(2), nums(1))+"R")))
	require.ErrorIs(t, err, torchfile.ErrFormat)
	require.ErrorContains(t, err, "without a tensor")
}

// A few bytes that refer to one another many times must not become work without bound.
func TestReferencesWithoutBound(t *testing.T) {
	bomb := "\x80\x02" + tensor(four, 0, nums(), nums()) + "q\x00"
	for i := range 40 {
		bomb += "(" + strings.Repeat("h"+string(rune(i)), 10) + "lq" + string(rune(i+1)) // a list of ten times the last
	}
	_, err := read(pth(t, strings.Replace(bomb, "q\x00", "q\x000", 1)+"."))
	require.Error(t, err)
	loop := "\x80\x02]q\x00h\x00a."
	_, err = read(pth(t, loop))
	require.ErrorIs(t, err, torchfile.ErrFormat)
	require.ErrorContains(t, err, "levels")
}

func TestUnsafe(t *testing.T) {
	cases := map[string]struct{ pickle, says string }{
		"global":              {"\x80\x02cos\nsystem\n" + str("x") + "\x85R.", `"os.system"`},
		"global never called": {state(str("w"), "cbuiltins\nexec\n"), `"builtins.exec"`},
		"stack global":        {"\x80\x04\x8c\x02os\x8c\x06system\x93.", `"os.system"`},
		"inst":                {"\x80\x02(ios\nsystem\n.", `"os.system"`},
		"extension":           {"\x80\x02\x82\x01.", "0x82"},
		"dotted to escape":    {"\x80\x04\x8c\x05torch\x8c\x10storage.os.xxxxx\x93.", `"torch.storage.os.xxxxx"`},
		"very long name":      {"\x80\x02cos\n" + strings.Repeat("x", 1<<20) + "\n.", "os.xxx"},
		"control characters":  {"\x80\x02cos\n\x1b[2J\n.", `\x1b`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := read(pth(t, c.pickle))
			require.ErrorIs(t, err, torchfile.ErrUnsafe)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "nothing was run")
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

func TestDamage(t *testing.T) {
	const big = 1 << 62
	w := func(tensor string) string { return state(str("w"), tensor) }
	cases := map[string]struct{ pickle, says string }{
		"empty":                          {"", "0 are left"},
		"no stop":                        {"\x80\x02}", "0 are left"},
		"stop on an empty stack":         {"\x80\x02.", "empty"},
		"two values":                     {"\x80\x02}}.", "1 values"},
		"bytes behind the stop":          {"\x80\x02}.}", "1 bytes"},
		"protocol 1":                     {"\x80\x01}.", "protocol 1"},
		"protocol 6":                     {"\x80\x06}.", "protocol 6"},
		"a long integer beyond the end":  {"\x80\x02\x8b\xff\xff\xff\x7f.", "2147483647 bytes wanted"},
		"bytes of 2^63":                  {"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "bytes wanted"},
		"no tensor":                      {state(), "without a tensor"},
		"a list without a tensor":        {"\x80\x02].", "a list without a tensor"},
		"an int":                         {"\x80\x02" + num(1) + ".", "an int, not a dict"},
		"two tensors of one name":        {state(str("a.b"), tensor(four, 0, nums(), nums()), str("a"), "}"+str("b")+tensor(four, 0, nums(), nums())+"s"), `the name "a.b"`},
		"an object of nothing":           {"\x80\x02(o.", "without a class"},
		"unknown instruction":            {"\x80\x02\xff.", "0xff"},
		"a string beyond the end":        {"\x80\x02X\xff\xff\xff\x7fa", "2147483647 bytes wanted"},
		"a string of 4 GB":               {"\x80\x02X\xff\xff\xff\xffa", "4294967295 bytes wanted"},
		"name without end":               {"\x80\x02cos", "without end"},
		"unknown memo":                   {"\x80\x02h\x07.", "number 7"},
		"memo of nothing":                {"\x80\x02q\x00.", "empty"},
		"tuple without mark":             {"\x80\x02t.", "mark"},
		"pop through a mark":             {"\x80\x02}(0.", "empty"},
		"tuple through a mark":           {"\x80\x02N(N\x86.", "empty"},
		"append to a dict":               {"\x80\x02}Na.", "append to a dict"},
		"set in a list":                  {"\x80\x02]NNs.", "a list"},
		"odd keys and values":            {"\x80\x02}(Nu.", "1 keys and values"},
		"key twice":                      {state(str("w"), "N", str("w"), "N"), `"w" is set twice`},
		"reference that is no tuple":     {"\x80\x02NQ.", "reference"},
		"reference to a module":          {"\x80\x02" + tuple(str("module"), "N", "N", "N", "N") + "Q.", "reference"},
		"reference of a tuple":           {"\x80\x02" + tuple(")", "N", "N", "N", "N") + "Q.", "reference"},
		"storage of -1 elements":         {w(tensor(storage("FloatStorage", "0", -1), 0, nums(0), nums(1))), "a storage of"},
		"storage that lies":              {w(tensor(storage("FloatStorage", "0", 5), 0, nums(5), nums(1))), "claims 5 elements of 4 bytes, the archive has 16"},
		"storage that lies by an extent": {w(tensor(storage("FloatStorage", "0", big+4), 0, nums(4), nums(1))), "claims"},
		"storage that is missing":        {w(tensor(storage("FloatStorage", "7", 4), 0, nums(4), nums(1))), `no entry "data/7"`},
		"storage outside":                {w(tensor(storage("FloatStorage", "../data.pkl", 4), 0, nums(4), nums(1))), `no entry`},
		"tensor beyond the storage":      {w(tensor(four, 1, nums(4), nums(1))), "reaches element 4 of a storage of 4"},
		"stride beyond the storage":      {w(tensor(four, 0, nums(2), nums(4))), "reaches element 4"},
		"negative offset":                {w(tensor(four, -1, nums(1), nums(1))), "offset -1"},
		"negative dimension":             {w(tensor(four, 0, nums(-1), nums(1))), "a tensor of"},
		"negative stride":                {w(tensor(four, 3, nums(2), nums(-1))), "a tensor of"},
		"fewer strides":                  {w(tensor(four, 0, nums(1, 1), nums(1))), "a tensor of"},
		"shape product overflows":        {w(tensor(four, 0, nums(1<<32, 1<<32), nums(0, 0))), "2^63"},
		"index overflows":                {w(tensor(four, 0, nums(3, 3), nums(big, big))), "2^63"},
		"offset overflows":               {w(tensor(four, big*2-1, nums(2), nums(1))), "2^63"},
		"expanded without bound":         {w(tensor(four, 0, nums(1<<40), nums(0))), "more than 65536 bytes"},
		"OrderedDict with arguments":     {"\x80\x02ccollections\nOrderedDict\nN\x85R.", "OrderedDict of None"},
		"arguments that are a dict":      {"\x80\x02ccollections\nOrderedDict\n}R.", "arguments are a dict"},
		"tensor of nothing":              {"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "0 arguments"},
		"parameter of nothing":           {"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.", "without a tensor"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := read(pth(t, c.pickle))
			require.ErrorIs(t, err, torchfile.ErrFormat)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestDamagedArchives(t *testing.T) {
	ok := state(str("w"), tensor(four, 0, nums(4), nums(1)))
	good := pth(t, ok)
	_, err := read(good)
	require.NoError(t, err)

	flipped := bytes.Replace(good, []byte("456789"), []byte("4567X9"), 1)
	nested := state(str("w"), tensor(storage("FloatStorage", "0", 4), 0, nums(4), nums(1)))
	cases := map[string]struct {
		b    []byte
		says string
	}{
		"nothing":            {nil, "0 bytes"},
		"flipped byte":       {flipped, "checksum"},
		"cut":                {good[:len(good)-1], "zip"},
		"half":               {good[:len(good)/2], "zip"},
		"no pickle":          {archive(t, entry{"m/data/0", "x"}), "1 entries has no"},
		"pickle at the root": {archive(t, entry{"data.pkl", ok}), "has no"},
		"two pickles":        {archive(t, entry{"a/data.pkl", nested}, entry{"b/data.pkl", nested}), "more than one"},
		"pickle twice":       {archive(t, entry{"a/data.pkl", nested}, entry{"a/data.pkl", nested}), "more than one"},
		"storage twice":      {archive(t, entry{"m/data.pkl", ok}, entry{"m/data/0", "0123456789abcdef"}, entry{"m/data/0", "0123456789abcdeg"}), "occurs twice"},
		"big-endian":         {archive(t, entry{"m/data.pkl", ok}, entry{"m/byteorder", "big"}, entry{"m/data/0", "0123456789abcdef"}), `"big"`},
		"long byte order":    {archive(t, entry{"m/data.pkl", ok}, entry{"m/byteorder", strings.Repeat("little", 9)}), "54 bytes"},
		"huge pickle":        {pth(t, "\x80\x02"+strings.Repeat("N", 5<<20)), "at most 4194304"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.b)
			require.ErrorIs(t, err, torchfile.ErrFormat)
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err = torchfile.Read(bytes.NewReader(nil), -1)
	require.ErrorContains(t, err, "-1")
}

// The form before PyTorch 1.6, cut at every byte: an error, and never wrong values.
func TestLegacyCutShort(t *testing.T) {
	whole := fixture(t, "legacy.pth")
	for n := range whole {
		_, err := read(whole[:n])
		require.Error(t, err, "%d of %d bytes", n, len(whole))
		require.True(t, errors.Is(err, torchfile.ErrFormat) || errors.Is(err, torchfile.ErrUnsafe), err)
	}
	_, err := read([]byte("\x80\x02}."))
	require.ErrorContains(t, err, "not one of torch.save")
	_, err = read(whole[:len(whole)-1])
	require.ErrorContains(t, err, "cut short")
}

// A reader of one tensor takes the memory of one.
func TestTensorsAreReadOneByOne(t *testing.T) {
	b := fixture(t, "flat.pth")
	f, err := torchfile.Open(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	all, err := read(b)
	require.NoError(t, err)
	infos := f.Infos()
	require.Len(t, infos, len(all))
	for i := len(all) - 1; i >= 0; i-- { // in another order than the file's
		require.Equal(t, all[i].Name, infos[i].Name)
		require.Equal(t, all[i].Shape, infos[i].Shape)
		require.EqualValues(t, len(all[i].Data), infos[i].Size)
		one, err := f.Tensor(infos[i].Name)
		require.NoError(t, err)
		require.Equal(t, all[i], one)
	}
	_, err = f.Tensor("absent")
	require.ErrorIs(t, err, safetensors.ErrNotFound)
}

// An entry that claims more than the file has: no memory is taken for it.
func TestEntryThatLies(t *testing.T) {
	const claim = 1 << 31
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "m/data.pkl", Method: zip.Store})
	require.NoError(t, err)
	_, err = io.WriteString(f, state(str("w"), tensor(storage("FloatStorage", "0", claim/4), 0, nums(1), nums(1))))
	require.NoError(t, err)
	f, err = w.CreateRaw(&zip.FileHeader{Name: "m/data/0", Method: zip.Store, CompressedSize64: claim, UncompressedSize64: claim})
	require.NoError(t, err)
	_, err = io.WriteString(f, "0123")
	require.NoError(t, err)
	require.NoError(t, w.Close())

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = read(buf.Bytes())
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, torchfile.ErrFormat)
	require.ErrorContains(t, err, "claims 2147483648 bytes")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

// Many tensors over one storage: what they take together is bounded.
func TestGrowthIsBounded(t *testing.T) {
	var items []string
	for i := range 5000 {
		items = append(items, str(fmt.Sprint(i)), "h\x00")
	}
	pickle := "\x80\x02" + tensor(storage("ByteStorage", "0", 100_000), 0, nums(100_000), nums(1)) + "q\x000}(" + strings.Join(items, "") + "u."
	_, err := read(archive(t, entry{"m/data.pkl", pickle}, entry{"m/data/0", strings.Repeat("x", 100_000)}))
	require.ErrorIs(t, err, torchfile.ErrFormat)
	require.ErrorContains(t, err, "take more than")
}

type failing struct {
	r      io.ReaderAt
	broken error
	after  int
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.after--; f.after < 0 {
		return 0, f.broken
	}
	return f.r.ReadAt(p, off)
}

func TestErrorsOfTheReaderPassThrough(t *testing.T) {
	b := pth(t, state(str("w"), tensor(four, 0, nums(4), nums(1))))
	broken := errors.New("broken disk")
	for after := 0; ; after++ {
		require.Less(t, after, 100)
		_, err := torchfile.Read(&failing{bytes.NewReader(b), broken, after}, int64(len(b)))
		if err == nil {
			require.Positive(t, after)
			break
		}
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, torchfile.ErrFormat)
	}
}

// Every tensor against a twin that visits each index by its definition.
func TestStridesAgainstSlowTwin(t *testing.T) {
	data := "0123456789abcdef"
	for _, c := range []struct {
		offset        int64
		shape, stride []int64
	}{
		{0, []int64{16}, []int64{1}},
		{0, []int64{4, 4}, []int64{4, 1}},
		{0, []int64{4, 4}, []int64{1, 4}},
		{3, []int64{2, 3, 2}, []int64{6, 2, 1}},
		{1, []int64{2, 1, 3}, []int64{7, 99, 2}},
		{5, []int64{3, 2}, []int64{0, 1}},
		{5, []int64{3, 2}, []int64{1, 0}},
		{15, []int64{1, 1}, []int64{1000, 1000}},
		{0, []int64{2, 2, 2, 2}, []int64{1, 2, 4, 8}},
		{0, []int64{2, 2, 2, 2}, []int64{8, 4, 1, 2}},
		{9, []int64{}, []int64{}},
		{9, []int64{3, 0}, []int64{1, 1}},
	} {
		want := []byte{}
		var walk func(axis int, at int64)
		walk = func(axis int, at int64) {
			if axis == len(c.shape) {
				want = append(want, data[at])
				return
			}
			for i := range c.shape[axis] {
				walk(axis+1, at+i*c.stride[axis])
			}
		}
		walk(0, c.offset)
		ts, err := read(pth(t, state(str("w"), tensor(storage("ByteStorage", "0", 16), c.offset, nums(c.shape...), nums(c.stride...)))))
		require.NoError(t, err)
		require.Equal(t, string(want), string(ts[0].Data), "%v", c)
	}
}

// Whatever the bytes: no panic, no more memory than bytes, and what is accepted
// is consistent.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"flat.pth", "wrapped.pth", "system.pth", "legacy.pth"} {
		f.Add(fixture(f, name))
	}
	f.Add(pth(f, state(str("w"), tensor(four, 0, nums(2, 2), nums(1, 2)))))
	f.Fuzz(func(t *testing.T, b []byte) { checkRead(t, b) })
}

// The same with the pickle alone: the archive's checksums would stop almost every
// mutation before the machine sees it.
func FuzzPickle(f *testing.F) {
	f.Add(state(str("w"), tensor(four, 0, nums(2, 2), nums(1, 2))))
	f.Add("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01w\x94K\x01u.")
	f.Add("\x80\x02ccollections\nOrderedDict\nq\x00)R}b.")
	f.Add("\x80\x02](J\x01\x00\x00\x00M\x01\x00G\x00\x00\x00\x00\x00\x00\x00\x00e.")
	for _, name := range []string{"flat.pth", "wrapped.pth"} {
		b := fixture(f, name)
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		require.NoError(f, err)
		r, err := z.Open(strings.TrimSuffix(name, ".pth") + "/data.pkl")
		require.NoError(f, err)
		code, err := io.ReadAll(r)
		require.NoError(f, err)
		f.Add(string(code))
	}
	f.Fuzz(func(t *testing.T, pickle string) { checkRead(t, pth(t, pickle)) })
}

func checkRead(t *testing.T, b []byte) {
	ts, err := read(b)
	if err != nil {
		require.Nil(t, ts)
		known := errors.Is(err, torchfile.ErrFormat) || errors.Is(err, torchfile.ErrUnsafe) || errors.Is(err, torchfile.ErrConvert)
		require.True(t, known, "%v", err)
		return
	}
	total := 0
	for _, x := range ts {
		total += len(x.Data)
		require.NotEmpty(t, string(x.DType))
	}
	require.LessOrEqual(t, total, max(64<<10, 4*len(b)))
	for _, x := range ts {
		if x.Name == "__metadata__" {
			return
		}
	}
	_, err = safetensors.Write(io.Discard, nil, ts)
	require.NoError(t, err)
}

func BenchmarkRead(b *testing.B) {
	const n = 8 << 20
	file := archive(b, entry{"m/data.pkl", state(str("w"), tensor(storage("FloatStorage", "0", n/4), 0, nums(n/4), nums(1)))}, entry{"m/data/0", strings.Repeat("x", n)})
	b.SetBytes(n)
	for b.Loop() {
		if _, err := read(file); err != nil {
			b.Fatal(err)
		}
	}
}
