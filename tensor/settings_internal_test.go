package tensor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor/internal/native"
)

// settingsChild is set in the children of TestSettings: settings belong to a
// process, and this one has its own already.
const settingsChild = "GOTAB_TEST_SETTINGS"

type settingsReport struct {
	Before, After Settings
	Early, Late   string // errors of Configure
	Same          bool   // Configure with what is in force
	Switches      int
	Variable      string // in the environment of the process, as C sees it
}

// reportSettings is the child: it configures, runs once, and says what it finds.
func reportSettings(t *testing.T, want string) {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	var r settingsReport
	if want != "default" {
		var c Settings
		require.NoError(t, json.Unmarshal([]byte(want), &c))
		r.Early = text(Configure(c))
	}
	r.Before = GetSettings()
	require.NoError(t, Run(context.Background(), CPU, Evaluation, func(s *Scope) error {
		x := s.ChannelsLast(s.Zeros(1, 16, 8, 8))
		s.Conv2d(x, s.Zeros(16, 16, 3, 3), nil, Conv{Padding: 1})
		return s.Err()
	}))
	r.After = GetSettings()
	r.Late = text(Configure(Settings{Primitives: 77}))
	r.Same = Configure(r.After) == nil
	r.Switches = native.Switches()
	r.Variable = native.CEnvironment("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
	out, err := json.Marshal(r)
	require.NoError(t, err)
	fmt.Printf("\nreport:%s\n", out)
}

func TestSettings(t *testing.T) {
	if want := os.Getenv(settingsChild); want != "" {
		reportSettings(t, want)
		return
	}
	const deterministic = 8
	for name, c := range map[string]struct {
		want, env string
		in        Settings
		switches  int
		variable  string
	}{
		"defaults":         {"default", "", DefaultSettings(), deterministic, "1000000"},
		"left alone":       {`{}`, "", Settings{}, deterministic, ""},
		"a number":         {`{"Primitives":64}`, "", Settings{Primitives: 64}, deterministic, "64"},
		"environment":      {"default", "99", Settings{Primitives: 99}, deterministic, "99"},
		"environment wins": {`{"Primitives":64}`, "99", Settings{Primitives: 99}, deterministic, "99"},
		"switches": {`{"Primitives":1,"TF32":true,"CuDNNBenchmark":true,"CuDNNNondeterministic":true}`, "",
			Settings{Primitives: 1, TF32: true, CuDNNBenchmark: true, CuDNNNondeterministic: true}, 1 | 2 | 4, "1"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestSettings$")
		for _, v := range os.Environ() {
			if !strings.Contains(v, "PRIMITIVE_CACHE_CAPACITY") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Env = append(cmd.Env, settingsChild+"="+c.want)
		if c.env != "" {
			cmd.Env = append(cmd.Env, "ONEDNN_PRIMITIVE_CACHE_CAPACITY="+c.env)
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
		_, line, found := strings.Cut(string(out), "report:")
		require.True(t, found, "%s: %s", name, out)
		line, _, _ = strings.Cut(line, "\n")
		var r settingsReport
		require.NoError(t, json.Unmarshal([]byte(line), &r), name)
		require.Empty(t, r.Early, name)
		require.Equal(t, c.in, r.Before, name)
		require.Equal(t, c.in, r.After, name)
		require.Contains(t, r.Late, ErrSettled.Error(), name)
		require.True(t, r.Same, name)
		require.Equal(t, c.switches, r.Switches, name)
		require.Equal(t, c.variable, r.Variable, name)
	}
	for _, bad := range []int{-1, 1_000_000_001} {
		require.ErrorContains(t, Configure(Settings{Primitives: bad}), "Primitives", bad)
	}
}
