// Package study trains networks by recipes, fits detectors on all of them with many
// draws, and keeps the records: what comparisons of networks have in common.
//
// A [Runner] has the folder of a study: weights/ with logs and checkpoints, records.jsonl
// (evaluate.Store). [Runner.Train] makes the weights of a [Variant], [Runner.Judge] fits and
// scores detectors on them. What is done is not done again, within a training from its last
// checkpoint on. What fails is noted, and the rest goes on.
package study
