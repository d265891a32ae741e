// Package prompt writes the sentences that stand for "normal" and "abnormal" in front of a text encoder.
//
// Industrial domain prompt association (IDPA, section 3 of "TAB: Text-Align Anomaly Backbone Model for
// Industrial Inspection Tasks", arXiv 2312.09480) builds the sentences of a class as a product: every state phrase
// ("unblemished {}", "{} with flaw") in every sentence template ("a close-up photo of a {}."), some templates
// carrying a domain word ("an industrial photo of the {}."). [IDPA] holds the lists, [IDPA.Sentences] writes them out
// for a class, and [Preset] names the lists of the paper's prompt ablation (its Table 8) and of related work.
//
// # From sentences to one anchor
//
// A polarity of a class is one vector: every sentence's embedding is brought to unit length, the mean over the
// sentences is taken, and the mean is brought to unit length again. That arithmetic belongs to whoever holds the
// embeddings; this package makes text only and knows no encoder.
//
// The package is pure Go and its values are plain data: they may be copied, compared by [IDPA.Hash], and used by
// several goroutines at once as long as nobody writes to their slices.
package prompt
