package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/prompt"
)

func TestListing(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, write(&b))
	var got listing
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	require.Equal(t, drawn.Classes(), got.Classes)
	require.Equal(t, prompt.DefaultIDPA().Hash(), got.Hash)
	for i, class := range got.Classes {
		normal, abnormal, err := prompt.DefaultIDPA().Sentences(class)
		require.NoError(t, err)
		require.Equal(t, normal, got.Normal[i])
		require.Equal(t, abnormal, got.Abnormal[i])
	}
}
