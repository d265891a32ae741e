package dataset

// Only shows the samples of a class and of a split, in their order; an empty name stands for all. It is
// [Filter] by these two.
func Only(ds Dataset, class, split string) Dataset {
	return Filter(ds, func(it Item) bool { return (class == "" || it.Class == class) && (split == "" || it.Split == split) })
}
