// Package study trains networks by recipes, fits detectors on all of them with many
// draws, and keeps the records: what programs have in common that compare networks.
//
// A [Runner] has the folder of a study: weights/ with logs and checkpoints, records.jsonl
// (evaluate.Store). What is done is not done again, within a training from its last
// checkpoint on. What fails is noted, and the rest goes on.
package study
