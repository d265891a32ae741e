package clipenc

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// clean brings a text into the form that CLIP's vocabulary was made for: HTML character references resolved twice (the
// captions it was trained on came from web pages), every run of white space one space, both ends cut, lower case.
// Bytes that are no UTF-8 become U+FFFD.
//
// The published tokeniser first repairs wrongly decoded text with the ftfy package. That is not done here; a text
// without such damage, curly quotes, ligatures or decomposed accents passes ftfy unchanged.
func clean(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	text = strings.TrimFunc(unescape(unescape(text)), isStripped)
	text = strings.TrimFunc(collapse(text), isStripped)
	return cases.Lower(language.Und).String(text)
}

// isStripped is what the reference language cuts from the ends of a string: white space and the four separators
// below it, which inside a text count as punctuation.
func isStripped(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

// collapse writes every run of white space as one space.
func collapse(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	in := false
	for _, r := range text {
		if unicode.IsSpace(r) {
			if !in {
				b.WriteByte(' ')
			}
			in = true
			continue
		}
		in = false
		b.WriteRune(r)
	}
	return b.String()
}

// unescape resolves HTML character references by the rules of the HTML standard as Python's html.unescape reads them.
// Named references are left to package html, which has the same table and prefix rule. Numbers are read here, because
// package html lets them overflow and keeps code points that the standard forbids.
func unescape(text string) string {
	if !strings.Contains(text, "&") {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for {
		before, rest, found := strings.Cut(text, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if resolved, n := number(rest); n > 0 {
			b.WriteString(resolved)
			text = rest[n:]
			continue
		}
		end := strings.IndexByte(rest, '&')
		if end < 0 {
			end = len(rest)
		}
		if strings.HasPrefix(rest, "#") {
			b.WriteByte('&')
			b.WriteString(rest[:end])
		} else {
			b.WriteString(html.UnescapeString("&" + rest[:end]))
		}
		text = rest[end:]
	}
}

// number reads a numeric reference after its ampersand: what it stands for, and how many bytes it took, 0 for none.
func number(s string) (string, int) {
	if !strings.HasPrefix(s, "#") {
		return "", 0
	}
	i, base := 1, uint32(10)
	if i < len(s) && (s[i] == 'x' || s[i] == 'X') {
		i, base = 2, 16
	}
	start, value := i, uint32(0)
	for ; i < len(s); i++ {
		d := digit(s[i])
		if d >= base {
			break
		}
		value = min(value*base+d, unicode.MaxRune+1)
	}
	if i == start {
		return "", 0
	}
	if i < len(s) && s[i] == ';' {
		i++
	}
	return codePoint(value), i
}

func digit(c byte) uint32 {
	switch {
	case '0' <= c && c <= '9':
		return uint32(c - '0')
	case 'a' <= c && c <= 'f':
		return uint32(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return uint32(c-'A') + 10
	}
	return 16
}

// codePoint returns what a numeric reference to a code point stands for in HTML: Windows-1252 for the range 0x80 to
// 0x9F, U+FFFD for what cannot be, nothing for control characters and non-characters.
func codePoint(v uint32) string {
	switch {
	case v == 0, 0xd800 <= v && v <= 0xdfff, v > unicode.MaxRune:
		return string(utf8.RuneError)
	case v == 0x0d:
		return "\r"
	case 0x80 <= v && v <= 0x9f:
		return string(windows1252[v-0x80])
	case 0x01 <= v && v <= 0x08, v == 0x0b, 0x0e <= v && v <= 0x1f, v == 0x7f,
		0xfdd0 <= v && v <= 0xfdef, v&0xfffe == 0xfffe:
		return ""
	}
	return string(rune(v))
}

// windows1252 is the range 0x80 to 0x9F of that character set; its five gaps stand for themselves.
var windows1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}
