package feed

// Spans cuts n images into batches of at most most images, of nearly equal size,
// and where it can into a multiple of workers, so that none waits at the end.
func Spans(n, most, workers int) [][2]int {
	k := (n + most - 1) / most
	if workers > 1 && n >= workers {
		k = (k + workers - 1) / workers * workers
	}
	k = min(k, n)
	out := make([][2]int, k)
	for i := range out {
		out[i] = [2]int{i * n / k, (i + 1) * n / k}
	}
	return out
}
