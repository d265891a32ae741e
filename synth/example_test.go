package synth_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"

	"github.com/gotab/gotab/synth"
)

// weave is a stand-in for a photograph of a good surface.
func weave(shift int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 96, 96))
	for y := range 96 {
		for x := range 96 {
			v := uint8(80 + 60*((x+shift)/7%2) + 40*(y/5%2))
			m.SetRGBA(x, y, color.RGBA{v, v, v / 2, 255})
		}
	}
	return m
}

// A damaged twin of a good image, made with material from another image of the same class.
func ExampleNSA_Generate() {
	nsa := synth.DefaultNSA()
	rng := rand.New(rand.NewPCG(1, 2))
	pair, err := nsa.Generate(weave(0), weave(3), rng)
	if errors.Is(err, synth.ErrNotPlaced) {
		fmt.Println("this draw made no defect; draw again and count it")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	changed := 0
	for _, v := range pair.Mask.Pix {
		if v == 255 {
			changed++
		}
	}
	fmt.Println("image", pair.Image.Rect.Size(), "damaged somewhere:", pair.Placed > 0 && changed > 0)
	// Output: image (96,96) damaged somewhere: true
}

// The blending by itself: a patch goes where OpenCV's seamlessClone puts it for the same centre.
func ExampleBlender_Blend() {
	var blender synth.Blender
	dst, patch := weave(0), weave(3).SubImage(image.Rect(10, 10, 41, 50)).(*image.RGBA)
	at := synth.SeamlessOrigin(patch.Rect.Size(), nil, image.Pt(48, 48))
	touched, err := blender.Blend(dst, patch, nil, at, synth.OpenCVPoisson(synth.Mixed))
	fmt.Println(touched, err)
	// Output: (35,30)-(62,66) <nil>
}

// Three generators by weight, drawn again until the change is at least six grey levels; draws that show nothing are counted.
func ExampleVisible() {
	mix := synth.Mix{Parts: []synth.Part{
		{Generator: synth.DefaultNSA(), Weight: 2},
		{Generator: synth.DefaultCutPaste(), Weight: 1},
		{Generator: synth.DefaultPerlin(), Weight: 1},
	}}
	visible := synth.Visible{Generator: mix, Least: 6, Attempts: 20}
	rng := rand.New(rand.NewPCG(1, 2))
	survey := synth.Survey{Least: 6}
	for range 10 {
		pair, err := visible.Generate(weave(0), weave(3), rng)
		if err := survey.Count("weave", pair, err); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, r := range survey.Rates() {
		fmt.Printf("%s: %d draws, %.0f %% show nothing\n", r.Class, r.Draws, 100*r.Share())
	}
	// Output: weave: 10 draws, 0 % show nothing
}

// A mixture names what it drew, and says which twins count as normal.
func ExampleMixture() {
	m := synth.DefaultMixture()
	training, err := m.Without(synth.KindStain)
	if err != nil {
		fmt.Println(err)
		return
	}
	validation, err := m.Only(synth.KindStain)
	if err != nil {
		fmt.Println(err)
		return
	}
	rng := rand.New(rand.NewPCG(1, 2))
	good := weave(0)
	for _, g := range []synth.Mixture{training, validation} {
		p, err := g.Generate(good, good, rng)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(p.Kind, p.Normal)
	}
	// Output:
	// cutpaste scar false
	// stain false
}
