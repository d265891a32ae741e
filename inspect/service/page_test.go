package service_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"html"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"crypto/sha256"
	"encoding/base64"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
)

// screenshot keeps the picture of the page that the test in a browser takes.
var screenshot = flag.String("screenshot", "", "`FILE` for the picture of the page")

func TestThePageNeedsNothingElse(t *testing.T) {
	w := call(handler(t, nil), "GET", "/", nil)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	page := w.Body.String()
	// No address but this server's relative ones, no handler in an attribute, one script
	// and one style.
	require.NotRegexp(t, `(?i)https?:|//[a-z]|<link|<iframe|@import|\burl\(`, regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(page, ""))
	require.NotRegexp(t, `(?i)<[^>]*\son[a-z]+\s*=`, page)
	require.NotRegexp(t, `(?i)<[^>]*\sstyle\s*=`, page)
	require.Equal(t, 1, strings.Count(page, "<script"))
	require.Equal(t, 1, strings.Count(page, "<style"))
	policy := w.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src " + digest(page, "script"), "style-src " + digest(page, "style"), "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
		require.Contains(t, policy, part)
	}
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, 404, call(handler(t, func(c *service.Config) { c.NoPage = true }), "GET", "/", nil).Code)
}

// digest is how a policy names what is inside an element.
func digest(page, element string) string {
	_, rest, _ := strings.Cut(page, "<"+element+">")
	inside, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(inside))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// The script of the test: it gives the token, chooses a product, drops a picture, moves
// the threshold by keyboard's and mouse's events, and drops what is no picture.
//
//go:embed testdata/page.js
var pageScript string

// steps are what the script saw.
type steps struct {
	Errors              []string
	Door, Token         bool
	Refused             string
	Products            []string
	Dropped             seen
	Natural             [2]int // pixels of the map as the browser has it
	Colour              [4]int // of the map's pixel 15,15
	Moved, Back, Broken seen
	Unasked, Once       bool     // there is no button without a journal; it says a thing once
	Asked, Said         string   // the button, and what followed
	Focus               []string // ids of what can be focused, in the order of Tab
}

type seen struct {
	Decision, Score, Threshold, Reason, Moved, Message, Defects string
	Result                                                      bool
}

// browser finds Chromium.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("TAB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	t.Skip("there is no Chromium (apt install chromium; TAB_CHROMIUM names one elsewhere)")
	return ""
}

// In a real browser, with the page's own policy in force but for the test's script: a
// dropped picture is judged, the threshold is moved, and the page says what that would
// decide.
func TestThePageInABrowser(t *testing.T) {
	chromium := browser(t)
	token := "0123456789abcdef"
	j := &journal{}
	h := handler(t, func(c *service.Config) {
		c.Tokens, c.Journals = []string{token}, map[string]service.Journal{"spring 12": j}
	}, &fake{name: "gear"}, &fake{name: "spring 12"})
	done := make(chan steps, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /qa/result", func(w http.ResponseWriter, r *http.Request) {
		var s steps
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			s.Errors = append(s.Errors, err.Error())
		}
		done <- s
	})
	mux.Handle("/qa/", http.StripPrefix("/qa", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			h.ServeHTTP(w, r)
			return
		}
		// The test's script follows the page's, and is allowed by its own digest.
		rec := serve(h, r)
		script := "const pictures = " + string(pictures(t)) + ";\n" + pageScript
		sum := sha256.Sum256([]byte(script))
		policy := strings.Replace(rec.Header().Get("Content-Security-Policy"), "script-src ", "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"' ", 1)
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.Header().Set("Content-Security-Policy", policy)
		_, err := w.Write([]byte(strings.Replace(rec.Body.String(), "</body>", "<script>"+script+"</script></body>", 1)))
		if err != nil {
			t.Error(err)
		}
	})))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shot := filepath.Join(t.TempDir(), "page.png")
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--user-data-dir="+t.TempDir(),
		"--window-size=820,960", "--virtual-time-budget=60000", "--screenshot="+shot, srv.URL+"/qa/")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		// A browser that does not start is the machine's fault, not the page's.
		t.Skipf("%s does not run here: %v: %s", chromium, err, html.EscapeString(string(out[max(0, len(out)-400):])))
	}
	var s steps
	select {
	case s = <-done:
	default:
		t.Fatalf("the script did not come to its end: %s", out)
	}
	require.Empty(t, s.Errors)
	require.True(t, s.Door, "without a token the page asks for one")
	require.Contains(t, s.Refused, "not the server's")
	require.True(t, s.Token, "with it the door is closed")
	require.Equal(t, []string{"gear", "spring 12"}, s.Products)

	reason := "rejected: score 250 is not below the threshold 200 (overkill of at most 5 %); 0 of 41 good parts score as high"
	require.Equal(t, seen{Decision: "Reject", Score: "250", Threshold: "200", Reason: reason, Result: true,
		Moved: "This is the threshold in force.", Defects: "Looks like scratch (75 %), dent (25 %)"}, s.Dropped)
	require.Equal(t, [2]int{256, 192}, s.Natural)
	require.Greater(t, s.Colour[0]-s.Colour[2], 80, "the browser shows the defect's colour: %v", s.Colour)
	require.Equal(t, "With the threshold at 260 this part would be passed. Nothing is stored: the server goes on with 200.", s.Moved.Moved)
	require.Equal(t, "Reject", s.Moved.Decision, "the server's decision stays on the page")
	require.Equal(t, "This is the threshold in force.", s.Back.Moved)
	require.True(t, s.Unasked)
	require.Equal(t, "It is good after all", s.Asked)
	require.Equal(t, "Written down. The threshold stays until somebody calibrates anew.", s.Said)
	require.True(t, s.Once)
	require.Len(t, j.got, 1)
	got := j.got[0]
	require.NotEmpty(t, got.Picture)
	got.Picture = ""
	require.Equal(t, inspect.Entry{Said: inspect.GoodAfterAll, Product: "spring 12", Bundle: "0123456789ab", Scorer: "ba9876543210", Score: 250, Threshold: 200, Reject: true}, got)
	require.Contains(t, s.Broken.Message, "The image cannot be decoded")
	require.False(t, s.Broken.Result)
	require.Equal(t, []string{"product", "file", "slider", "exact", "reset", "say"}, s.Focus, "all can be reached by keyboard")

	data, err := os.ReadFile(shot)
	require.NoError(t, err)
	_, err = png.DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
	if *screenshot != "" {
		require.NoError(t, os.WriteFile(*screenshot, data, 0o644))
	}
}

// pictures are the files that the script drops, in base64.
func pictures(t *testing.T) []byte {
	b, err := json.Marshal(map[string][]byte{"part.png": encoded(t, scene()), "notes.txt": []byte("no picture")})
	require.NoError(t, err)
	return b
}
