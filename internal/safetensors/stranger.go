package safetensors

import (
	"bytes"
	"fmt"
)

// Stranger says of the first bytes of a file that holds no weights what it is and
// what to do, "" where it may hold weights.
func Stranger(head []byte) string {
	text := bytes.ToLower(bytes.TrimLeft(head, " \t\r\n\ufeff"))
	switch {
	case len(head) > 8 && head[8] == '{' && bytes.Equal(head[5:8], []byte{0, 0, 0}): // safetensors
	case len(head) == 0:
		return "the file is empty; fetch or copy it again"
	case bytes.HasPrefix(text, []byte("<!doctype")), bytes.HasPrefix(text, []byte("<html")), bytes.HasPrefix(text, []byte("<?xml")):
		return "it is a web page, not weights: the download answered with a page, of a login or an error for example; open it in a browser, and fetch the file itself"
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return "it is a Git LFS pointer, not the file it stands for; run `git lfs pull` in the repository it came from"
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "it is compressed with gzip; unpack it with gunzip first"
	case bytes.HasPrefix(head, []byte("\x89HDF")):
		return "it is an HDF5 file of Keras; save the network's state dict with PyTorch, or as safetensors"
	case !bytes.ContainsFunc(head, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r > '~' }):
		return fmt.Sprintf("it is a text that begins with %.40q; name the file of weights, or fetch it again", head)
	case len(head) > 262 && bytes.HasPrefix(head[257:], []byte("ustar")):
		return "it is a tar archive; unpack it with tar -x first"
	case len(head) > 8 && head[0] == 0x08 && bytes.Contains(head, []byte("pytorch")) && !bytes.HasPrefix(head, []byte("PK")):
		return "it looks like an ONNX model; save the network's state dict instead: torch.save(model.state_dict(), file)"
	}
	return ""
}
