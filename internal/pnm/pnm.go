// Package pnm reads the portable bitmaps, graymaps and pixmaps of Netpbm: P1 to P6.
// A file that ends early is an error that wraps [io.ErrUnexpectedEOF].
package pnm

import (
	"errors"
	"fmt"
	"image"
	"io"
)

const maxSide = 1 << 30

// Header is what a file says before its pixels.
type Header struct {
	Width, Height int
	// Max is the value of white, 1 to 65535.
	Max   int
	kind  byte // '1' to '6'
	pixel int  // where the pixels begin
}

// Is says whether a file begins like one.
func Is(data []byte) bool {
	return len(data) >= 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '6' && (space(data[2]) || data[2] == '#')
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// text reads numbers.
type text struct {
	data []byte
	at   int
}

// skip goes over white space and comments.
func (t *text) skip() {
	for ; t.at < len(t.data); t.at++ {
		switch c := t.data[t.at]; {
		case space(c):
		case c == '#':
			for t.at < len(t.data) && t.data[t.at] != '\n' && t.data[t.at] != '\r' {
				t.at++
			}
			if t.at == len(t.data) {
				return
			}
		default:
			return
		}
	}
}

func (t *text) number(most int) (int, error) {
	t.skip()
	if t.at == len(t.data) {
		return 0, io.ErrUnexpectedEOF
	}
	from, v := t.at, 0
	for ; t.at < len(t.data) && t.data[t.at] >= '0' && t.data[t.at] <= '9'; t.at++ {
		if v = 10*v + int(t.data[t.at]-'0'); v > most {
			return 0, fmt.Errorf("a number beyond %d", most)
		}
	}
	if t.at == from {
		return 0, fmt.Errorf("%q where a number was expected", t.data[from])
	}
	return v, nil
}

// DecodeHeader reads the header.
func DecodeHeader(data []byte) (*Header, error) {
	if !Is(data) {
		return nil, errors.New("not a file of Netpbm")
	}
	h := &Header{kind: data[1], Max: 1}
	t := &text{data: data, at: 2}
	var err error
	if h.Width, err = t.number(maxSide); err != nil {
		return nil, err
	}
	if h.Height, err = t.number(maxSide); err != nil {
		return nil, err
	}
	if h.kind != '1' && h.kind != '4' {
		if h.Max, err = t.number(65535); err != nil {
			return nil, err
		}
		if h.Max == 0 {
			return nil, errors.New("the value of white is 0")
		}
	}
	if h.Width < 1 || h.Height < 1 {
		return nil, fmt.Errorf("the header says %dx%d pixels", h.Width, h.Height)
	}
	if t.at >= len(data) {
		return nil, io.ErrUnexpectedEOF
	}
	if !space(data[t.at]) {
		return nil, fmt.Errorf("%q after the header", data[t.at])
	}
	h.pixel = t.at + 1
	return h, nil
}

// Decode reads a file whose size the caller has compared with a limit. The
// result is Gray or RGBA, or Gray16 and RGBA64 where the value of white is beyond
// 255; values are stretched to full scale.
func Decode(data []byte) (image.Image, error) {
	h, err := DecodeHeader(data)
	if err != nil {
		return nil, err
	}
	rect := image.Rect(0, 0, h.Width, h.Height)
	next, err := h.samples(data[h.pixel:])
	if err != nil {
		return nil, err
	}
	deep, colour := h.Max > 255, h.kind == '3' || h.kind == '6'
	most, per := 255, 1
	if deep {
		most = 0xffff
	}
	if colour {
		per = 4
	}
	size := per
	if deep {
		size *= 2
	}
	pix := make([]byte, h.Width*h.Height*size)
	for i := range h.Width * h.Height * per {
		v := most
		if i%per != 3 {
			if v, err = next(i); err != nil {
				return nil, err
			}
			v = (min(v, h.Max)*most + h.Max/2) / h.Max
		}
		if deep {
			pix[2*i], pix[2*i+1] = byte(v>>8), byte(v)
		} else {
			pix[i] = byte(v)
		}
	}
	stride := h.Width * size
	switch {
	case deep && colour:
		return &image.RGBA64{Pix: pix, Stride: stride, Rect: rect}, nil
	case deep:
		return &image.Gray16{Pix: pix, Stride: stride, Rect: rect}, nil
	case colour:
		return &image.RGBA{Pix: pix, Stride: stride, Rect: rect}, nil
	}
	return &image.Gray{Pix: pix, Stride: stride, Rect: rect}, nil
}

// samples returns a function that reads the next sample; its argument counts
// them, alpha included. The length of the file is checked first.
func (h *Header) samples(data []byte) (func(i int) (int, error), error) {
	t := &text{data: data}
	n := int64(h.Width) * int64(h.Height)
	if h.kind == '3' || h.kind == '6' {
		n *= 3
	}
	if h.kind < '4' && int64(len(data)) < n {
		return nil, io.ErrUnexpectedEOF // a digit each, at least
	}
	switch h.kind {
	case '1':
		return func(int) (int, error) {
			t.skip()
			if t.at == len(t.data) {
				return 0, io.ErrUnexpectedEOF
			}
			c := t.data[t.at]
			t.at++
			if c != '0' && c != '1' {
				return 0, fmt.Errorf("%q where 0 or 1 was expected", c)
			}
			return int('1' - c), nil // 1 is black
		}, nil
	case '2', '3':
		return func(int) (int, error) { return t.number(1 << 30) }, nil
	case '4':
		stride := (int64(h.Width) + 7) / 8
		if int64(len(data)) < stride*int64(h.Height) {
			return nil, io.ErrUnexpectedEOF
		}
		return func(i int) (int, error) {
			x, y := i%h.Width, i/h.Width
			return int(^data[int64(y)*stride+int64(x/8)] >> (7 - x%8) & 1), nil
		}, nil
	}
	if h.Max > 255 {
		n *= 2
	}
	if int64(len(data)) < n {
		return nil, io.ErrUnexpectedEOF
	}
	return func(int) (int, error) {
		v := int(data[t.at])
		t.at++
		if h.Max > 255 {
			v = v<<8 | int(data[t.at])
			t.at++
		}
		return v, nil
	}, nil
}
