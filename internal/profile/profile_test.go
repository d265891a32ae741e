package profile_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/profile"
)

func TestCPUWritesAProfileOfWhatSucceeded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	called := 0
	require.NoError(t, profile.CPU(file, func() error {
		called++
		require.NoFileExists(t, file)
		require.ErrorContains(t, profile.CPU(file, func() error { called++; return nil }), "profile")
		return nil
	}))
	require.Equal(t, 1, called, "the inner one is refused before its call")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Contains(t, string(plain), "nanoseconds")

	other := filepath.Join(t.TempDir(), "p")
	failed := errors.New("failed")
	require.ErrorIs(t, profile.CPU(other, func() error { return failed }), failed)
	require.NoFileExists(t, other)
	require.NoError(t, profile.CPU("", func() error { called++; return nil }), "no profile is running any more")
	require.Equal(t, 2, called)
	require.ErrorContains(t, profile.CPU(filepath.Join(other, "no folder"), func() error { return nil }), "profile: ")
}
