package clipenc_test

import "strings"

// The strings of testdata/parity/tokens.py, from the same formula.

var fragments = []string{
	"a photo of a ", "a close-up photo of the ", "unblemished ", "blemished ", " with flaw", " without defect",
	"metal_nut", "an industrial ", "transistor", "PCB", "Screw", "TOOTHBRUSH", "it's", "don't ", "we'll ", "they've ",
	"I'm ", "he'd ", "you're ", "'S", "'\u017f", "0", "7", "42", "1234567890", "3.14159", "1st", "x2y", ".", ",", "...",
	"!!!!!!!!!", "-------", "?!", "(", ")", "[]", "{}", "\"", "'", "''", "\u2019", " ", "  ", "\x09", "\x0a",
	"\x0d\x0a", "\u00a0", "\u3000", "\u2003", "\u200b", "\x1c", "\x1f", "\u0085", "\x00", "\x7f", "aaaa", "aaaaab",
	"hmmmm", "zzzzzzzz", "lalalala", "abcabcabc", "caf\u00e9", "na\u00efve", "Stra\u00dfe", "\u0130stanbul",
	"DI\u0307YARBAKIR", "\u1e9e", "\u039f\u0394\u039f\u03a3", "\u03a3\u0391\u03a3 ", "\u03a3", "\u0391\u03a3.",
	"\u01c5", "\u2126\u212a\u212b", "\u6f22\u5b57", "\u3053\u3093\u306b\u3061\u306f", "\ud55c\uad6d\uc5b4",
	"\u0420\u0443\u0441\u0441\u043a\u0438\u0439", "\u0639\u0631\u0628\u064a", "\u05e2\u05d1\u05e8\u05d9\u05ea",
	"\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22", "\U0001f600", "\U0001f469\u200d\U0001f52c",
	"\U0001f1e9\U0001f1ea", "\u2713", "\u00bd", "\u00b2", "\u2167", "\u2460", "\u0663", "\U0001d7d8", "\ufb01",
	"\uff21\uff22", "&amp;", "&amp;lt;", "&lt;b&gt;", "&amp;amp;amp;", "&nbsp;", "&copy", "&notit;", "&notin;",
	"&hellip;", "&unknown;", "&", "&;", "&#", "&#;", "&#x;", "&#65;", "&#x41", "&#x1F600;", "&#0;", "&#128;", "&#x81;",
	"&#13;", "&#11;", "&#x7f;", "&#xFFFE;", "&#xFDD0;", "&#xD800;", "&#x110000;", "&#99999999999999;", "&#x26;amp;",
	"&ampamp;", "&CounterClockwiseContourIntegral;", "<|startoftext|>", "<|endoftext|>", "<|EndOfText|>",
	"<|\u017ftartoftext|>", "<start_of_text>", "</w>", "w</w>", "<|", "|>",
}

var ranges = [][2]rune{
	{0x0, 0x20},
	{0x21, 0x7f},
	{0x61, 0x7b},
	{0x41, 0x5b},
	{0x7f, 0x180},
	{0x180, 0x250},
	{0x300, 0x370},
	{0x370, 0x400},
	{0x400, 0x530},
	{0x5d0, 0x5eb},
	{0x621, 0x66a},
	{0x900, 0x980},
	{0x1e00, 0x2000},
	{0x2000, 0x2070},
	{0x2150, 0x2189},
	{0x2460, 0x2500},
	{0x3000, 0x3100},
	{0x4e00, 0x5000},
	{0xac00, 0xad00},
	{0xff00, 0xfff0},
	{0x1d400, 0x1d800},
	{0x1f300, 0x1f650},
}

// stream is splitmix64 (Steele, Lea, Flood 2014).
type stream uint64

func (s *stream) next(n int) int {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) % uint64(n))
}

func formulaText(seed uint64, index int) string {
	s := stream(seed*0x9E3779B97F4A7C15 + uint64(index)*0xD1342543DE82EF95)
	var out strings.Builder
	for range 1 + s.next(12) {
		if s.next(4) > 0 {
			out.WriteString(fragments[s.next(len(fragments))])
			continue
		}
		r := ranges[s.next(len(ranges))]
		for range 1 + s.next(6) {
			out.WriteRune(r[0] + rune(s.next(int(r[1]-r[0]))))
		}
	}
	return out.String()
}
