package dataset

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// utf8Reader reads a text as UTF-8 without a byte order mark. UTF-16 is known by its
// mark or, without one, by the zero in the first character: texts that are read here
// begin with a character of ASCII.
func utf8Reader(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	head, err := b.Peek(2)
	if err != nil {
		return b // shorter than that; the next read returns the error
	}
	switch {
	case head[0] == 0xff && head[1] == 0xfe, head[0] == 0xfe && head[1] == 0xff:
		return transform.NewReader(b, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
	case head[0] != 0 && head[1] == 0:
		return transform.NewReader(b, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder())
	case head[0] == 0 && head[1] != 0:
		return transform.NewReader(b, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder())
	}
	return transform.NewReader(b, unicode.UTF8BOM.NewDecoder())
}

// parseTable reads named columns of a CSV text whose first line has their names, in
// any case. What separates fields is said by a line "sep=;" before it, or else is the
// comma, semicolon, tab or bar that gives all the names.
func parseTable(data []byte, columns []string) ([][]string, error) {
	line, rest := cutLine(data)
	var seps []rune
	if text, ok := strings.CutPrefix(strings.ToLower(strings.Trim(line, "\" ")), "sep="); ok {
		if len(text) != 1 || strings.ContainsAny(text, "\"\r\n") || text[0] >= 0x80 {
			return nil, fmt.Errorf("its first line %q names no separator of one character", line)
		}
		data, seps = rest, []rune{rune(text[0])}
		line, _ = cutLine(data)
	} else {
		seps = []rune{',', ';', '\t', '|'}
	}
	at := make([]int, len(columns))
	missing, most := "", 0 // what the likeliest separator lacks, and how many names it gives
	for _, sep := range seps {
		r := csv.NewReader(strings.NewReader(line))
		r.Comma = sep
		head, err := r.Read()
		if err != nil {
			if missing == "" {
				missing = err.Error()
			}
			continue
		}
		lacks := ""
		for i, c := range columns {
			at[i] = slices.IndexFunc(head, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), c) })
			if at[i] < 0 {
				lacks = c
				break
			}
		}
		if lacks == "" {
			return readRows(data, sep, at)
		}
		if len(head) > most {
			missing, most = fmt.Sprintf("there is no column %q", lacks), len(head)
		}
	}
	return nil, fmt.Errorf("%s in its first line %.200q; wanted are %s, with commas, semicolons or tabs between them", missing, line, strings.Join(columns, ", "))
}

func readRows(data []byte, sep rune, at []int) ([][]string, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord, r.Comma = true, sep
	if _, err := r.Read(); err != nil { // the names
		return nil, fmt.Errorf("cannot read the first line: %w", err)
	}
	var rows [][]string
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		row := make([]string, len(at))
		for i, c := range at {
			row[i] = strings.Clone(strings.TrimSpace(rec[c]))
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, errors.New("the list is empty")
	}
	return rows, nil
}

// cutLine takes the first line off that is not empty.
func cutLine(data []byte) (line string, rest []byte) {
	for {
		first, after, more := bytes.Cut(data, []byte("\n"))
		if text := strings.TrimRight(string(first), "\r"); text != "" || !more {
			return text, after
		}
		data = after
	}
}
