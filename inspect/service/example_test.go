package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"

	"github.com/gotab/gotab/inspect/service"
)

// Two products below a path of a server that does other things as well. In a program the
// Inspectors are of inspect.New; anything with their three methods will do.
func ExampleNew() {
	gears, springs := &fake{name: "gears"}, &fake{name: "springs"}
	h, err := service.New(service.DefaultConfig(), gears, springs)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/inspection/", http.StripPrefix("/inspection", h))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	var part bytes.Buffer
	if err := png.Encode(&part, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		fmt.Println(err)
		return
	}
	resp, err := http.Post(srv.URL+"/inspection/inspect/springs", "image/png", &part)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var a service.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.StatusCode, a.Product, a.Decision)
	fmt.Println(a.Reason)
	// Output:
	// 200 springs pass
	// passed: score 0 is below the threshold 200 (overkill of at most 5 %); 3 of 41 good parts score as high
}
