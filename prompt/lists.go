package prompt

// The lists of this file are data, kept word for word with their slips ("without damaged", the template that occurs
// twice), because the sentences decide the anchors. The paired states and the industrial templates are those of the
// authors' last state of work before the TAB paper appeared; the official lists are those that they released with it;
// WinCLIP's are those of Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", CVPR 2023, in
// the form in which they are commonly run.

// The symmetric states of the paper: it names the pair unblemished and blemished; the earlier list has the rest.
func pairedNormal() []string {
	return []string{
		"good {}", "normal {}", "perfect {}", "unblemished {}",
		"{} without flaw", "{} without defect", "{} without damaged",
	}
}

func pairedAbnormal() []string {
	return []string{
		"not good {}", "abnormal {}", "imperfect {}", "blemished {}",
		"{} with flaw", "{} with defect", "{} with damage",
	}
}

func officialNormal() []string {
	return []string{
		"flawless {}", "perfect {}", "unblemished {}",
		"{} without flaw", "{} without defect", "{} without damaged",
	}
}

func officialAbnormal() []string {
	return []string{
		"damaged {}", "broken {}",
		"{} with flaw", "{} with defect", "{} with distortion", "{} with broken parts",
	}
}

// officialTemplates has 38 entries, 37 of them distinct.
func officialTemplates() []string {
	return []string{
		"a photo of a {}.",
		"a photo of the {}.",
		"a photo of a rotated {}.",
		"a photo of the rotated {}.",
		"a rotated photo of a {}.",
		"a rotated photo of the {}.",
		"a flipped photo of a {}.",
		"a flipped photo of the {}.",
		"a cropped photo of a {}.",
		"a cropped photo of the {}.",
		"a close-up photo of a {}.",
		"a close-up photo of the {}.",
		"a bad photo of a {}.",
		"a low resolution photo of the {}.",
		"a bad photo of the {}.",
		"a bright photo of a {}.",
		"a dark photo of the {}.",
		"a photo of my {}.",
		"a black and white photo of the {}.",
		"a bright photo of the {}.",
		"a jpeg corrupted photo of a {}.",
		"a blurry photo of the {}.",
		"a photo of the {}.",
		"a good photo of the {}.",
		"a photo of one {}.",
		"a black and white photo of a {}.",
		"a dark photo of a {}.",
		"a photo of a cool {}.",
		"a photo of the cool {}.",
		"a photo of a small {}.",
		"a photo of the small {}.",
		"a photo of a big {}.",
		"a photo of the big {}.",
		"there is a {} in the scene.",
		"there is the {} in the scene.",
		"this is a {} in the scene.",
		"this is the {} in the scene.",
		"this is one {} in the scene.",
	}
}

// industrialTemplates has 30 entries that make 32 with two domain words: the "photo" forms take each of them, the
// "image" forms are known with the word industrial only, and without a full stop.
func industrialTemplates() []string {
	return []string{
		"a photo of a {}.",
		"a photo of the {}.",
		"a photo of a rotated {}.",
		"a photo of the rotated {}.",
		"a cropped photo of a {}.",
		"a cropped photo of the {}.",
		"a {domain} photo of a {}.",
		"a {domain} photo of the {}.",
		"a close-up photo of a {}.",
		"a close-up photo of the {}.",
		"a close-up industrial image of a {}",
		"a close-up industrial image of the {}",
		"a bright industrial image of a {}",
		"a bright industrial image of the {}",
		"a dark industrial image of the {}",
		"a dark industrial image of a {}",
		"a jpeg corrupted industrial image of a {}",
		"a jpeg corrupted industrial image of the {}",
		"a blurry industrial image of the {}",
		"a blurry industrial image of a {}",
		"an industrial image of a {}",
		"an industrial image of the {}",
		"an industrial image of a small {}",
		"an industrial image of the small {}",
		"an industrial image of a large {}",
		"an industrial image of the large {}",
		"an industrial image of the {} for visual inspection",
		"an industrial image of a {} for visual inspection",
		"an industrial image of the {} for anomaly detection",
		"an industrial image of a {} for anomaly detection",
	}
}

func industrialPositions() []string {
	return []string{
		"{} which defect is on the left of it",
		"{} which defect is on the right of it",
		"{} which defect is on the top of it",
		"{} which defect is on the bottom of it",
		"{} which defect is on the center of it",
		"{} which defect is on the corner of it",
	}
}

func winclipNormal() []string {
	return []string{
		"{}", "flawless {}", "perfect {}", "unblemished {}",
		"{} without flaw", "{} without defect", "{} without damage",
	}
}

func winclipAbnormal() []string {
	return []string{"damaged {}", "{} with flaw", "{} with defect", "{} with damage"}
}

// winclipTemplates has 21 entries, 20 of them distinct: the jpeg line stands twice with "the".
func winclipTemplates() []string {
	return []string{
		"a cropped photo of the {}.",
		"a close-up photo of a {}.",
		"a close-up photo of the {}.",
		"a bright photo of a {}.",
		"a bright photo of the {}.",
		"a dark photo of the {}.",
		"a dark photo of a {}.",
		"a jpeg corrupted photo of the {}.",
		"a jpeg corrupted photo of the {}.",
		"a blurry photo of the {}.",
		"a blurry photo of a {}.",
		"a photo of a {}.",
		"a photo of the {}.",
		"a photo of a small {}.",
		"a photo of the small {}.",
		"a photo of a large {}.",
		"a photo of the large {}.",
		"a photo of the {} for visual inspection.",
		"a photo of a {} for visual inspection.",
		"a photo of the {} for anomaly detection.",
		"a photo of a {} for anomaly detection.",
	}
}

// domainFrames is the pattern that the released code's unused lists repeat for plain, industrial, manufacturing,
// textural and surface images; with {domain} in place of "photo", "industrial image" and so on it has 22 entries.
func domainFrames() []string {
	return []string{
		"a cropped {domain} of the {}",
		"a cropped {domain} of a {}",
		"a close-up {domain} of a {}",
		"a close-up {domain} of the {}",
		"a bright {domain} of a {}",
		"a bright {domain} of the {}",
		"a dark {domain} of the {}",
		"a dark {domain} of a {}",
		"a jpeg corrupted {domain} of a {}",
		"a jpeg corrupted {domain} of the {}",
		"a blurry {domain} of the {}",
		"a blurry {domain} of a {}",
		"a {domain} of a {}",
		"a {domain} of the {}",
		"a {domain} of a small {}",
		"a {domain} of the small {}",
		"a {domain} of a large {}",
		"a {domain} of the large {}",
		"a {domain} of the {} for visual inspection",
		"a {domain} of a {} for visual inspection",
		"a {domain} of the {} for anomaly detection",
		"a {domain} of a {} for anomaly detection",
	}
}
