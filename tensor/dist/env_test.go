package dist_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/tensor/dist"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func TestFromEnv(t *testing.T) {
	c, found, err := dist.FromEnv(env())
	require.NoError(t, err)
	require.False(t, found)
	require.Equal(t, 1, c.Size)
	require.NoError(t, c.Validate())

	c, found, err = dist.FromEnv(env("RANK", "3", "WORLD_SIZE", "8", "LOCAL_RANK", "1", "LOCAL_WORLD_SIZE", "4", "MASTER_ADDR", "node0", "MASTER_PORT", "1234",
		"TORCHELASTIC_USE_AGENT_STORE", "True", "TORCHELASTIC_RESTART_COUNT", "2", "GLOO_SOCKET_IFNAME", "eth1", "TORCHELASTIC_ERROR_FILE", ""))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, dist.Config{Rank: 3, Size: 8, LocalRank: 1, LocalSize: 4, Host: "node0", Port: 1234, Served: true, Attempt: 2, Timeout: dist.DefaultTimeout, Interface: "eth1"}, c)

	c, _, err = dist.FromEnv(env("RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "node0"))
	require.NoError(t, err)
	require.Equal(t, 29500, c.Port)

	// An agent of torchrun has one name for all its processes and attempts.
	agent := func(file string) string {
		c, _, err := dist.FromEnv(env("RANK", "0", "WORLD_SIZE", "1", "TORCHELASTIC_ERROR_FILE", file))
		require.NoError(t, err)
		return c.Agent
	}
	first := agent("/tmp/torchelastic_ab/none_x1y2/attempt_0/0/error.json")
	require.Len(t, first, 32)
	require.Equal(t, first, agent("/tmp/torchelastic_ab/none_x1y2/attempt_3/1/error.json"))
	require.NotEqual(t, first, agent("/tmp/torchelastic_ab/none_x1y3/attempt_0/0/error.json"))
	require.Equal(t, agent("/logs/attempt_7/none_x/attempt_0/0/error.json"), agent("/logs/attempt_7/none_x/attempt_1/0/error.json"))
	for _, none := range []string{"", "/dev/null", "/attempt_0/0/error.json", "/tmp/error.json"} {
		require.Empty(t, agent(none), none)
	}

	for name, pairs := range map[string][]string{
		"WORLD_SIZE is \"\"": {"RANK", "0"},
		"RANK is \"\"":       {"WORLD_SIZE", "2"},
		"RANK is \"one\"":    {"RANK", "one", "WORLD_SIZE", "2"},
		"Rank is 2":          {"RANK", "2", "WORLD_SIZE", "2", "MASTER_ADDR", "a"},
		"Size is 99999999":   {"RANK", "2", "WORLD_SIZE", "99999999", "MASTER_ADDR", "a"},
		"Host is":            {"RANK", "1", "WORLD_SIZE", "2"},
		"Port is 0":          {"RANK", "1", "WORLD_SIZE", "2", "MASTER_ADDR", "a", "MASTER_PORT", "0"},
		"LocalRank is -1":    {"RANK", "1", "WORLD_SIZE", "2", "MASTER_ADDR", "a", "LOCAL_RANK", "-1"},
	} {
		_, found, err := dist.FromEnv(env(pairs...))
		require.True(t, found, name)
		require.ErrorIs(t, err, dist.ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
}

// One process needs no engine.
func TestAGroupOfOne(t *testing.T) {
	c, _, err := dist.FromEnv(env())
	require.NoError(t, err)
	g, err := dist.Connect(t.Context(), c)
	require.NoError(t, err)
	v := []float32{1, 2}
	require.NoError(t, g.Sum(t.Context(), v))
	require.Equal(t, []float32{1, 2}, v)
	all, err := g.Gather(t.Context(), []byte("x"))
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("x")}, all)
	require.NoError(t, g.Broadcast(t.Context(), 0, []byte("x")))
	require.ErrorIs(t, g.Broadcast(t.Context(), 1, []byte("x")), dist.ErrConfig)
	require.NoError(t, g.Barrier(t.Context()))
	require.Equal(t, 1, g.Size())
	require.NoError(t, g.Close())
	require.NoError(t, g.Close())
	require.ErrorIs(t, g.Sum(t.Context(), v), dist.ErrClosed)
	require.ErrorIs(t, g.Barrier(t.Context()), dist.ErrClosed)
}

func TestConnectRefuses(t *testing.T) {
	two := dist.Config{Size: 2, Host: "127.0.0.1", Port: 1, Timeout: time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := dist.Connect(ctx, two)
	require.ErrorIs(t, err, context.Canceled)
	var none context.Context
	_, err = dist.Connect(none, two)
	require.ErrorIs(t, err, dist.ErrConfig)
	two.Rank = 2
	_, err = dist.Connect(t.Context(), two)
	require.ErrorIs(t, err, dist.ErrConfig)
	if !dist.Built() {
		two.Rank = 1
		_, err = dist.Connect(t.Context(), two)
		require.ErrorIs(t, err, dist.ErrNotBuilt)
		require.ErrorContains(t, err, "env -dist")
	}
}

// No argument of anything that this package exports, and no zero value of its types,
// makes it panic, hang or take memory without bound.
func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs: []any{dist.Built, dist.FromEnv},
		Types: []any{new(dist.Config), new(dist.Group), new(dist.LostError)},
		Skip:  map[string]string{"Connect": "with settings that are valid it waits for ranks; TestConnectRefuses calls it"},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 200)
}
