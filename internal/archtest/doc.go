// Package archtest holds the arrows between the packages of this module: which may
// import which, and who may meet native code. Its test walks the import graph of
// the whole module, tests and examples included, by reading the sources, so it
// needs neither a compiler nor libtorch.
//
//	examples/*  ->  everything public
//	tab/training, downstream/classify/compare, evaluate/{session,study,sweep,article,figures,beforeafter},
//	    inspect/{pack,server}  ->  what they name in the rules; nothing but programs and each other stands on them
//	evaluate/controls   ->  backbone dataset tensor
//	synth/sheet         ->  synth dataset
//	inspect/service     ->  inspect downstream dataset, and net/http
//	inspect     ->  downstream backbone dataset metrics tensor
//	evaluate/report     ->  evaluate dataset downstream metrics
//	evaluate/detectors  ->  evaluate tab downstream backbone synth dataset metrics tensor
//	evaluate    ->  dataset metrics
//	downstream/heatmap  ->  downstream dataset
//	tab/clipbank        ->  tab tab/card clipenc prompt tensor
//	tab         ->  backbone prompt synth dataset tensor
//	dataset/drawn dataset/audit dataset/wafers  ->  dataset
//	downstream  ->  backbone dataset metrics tensor
//	backbone    ->  tensor
//	clipenc     ->  tensor
//	tensor      ->  tensor/internal/native
//	tensor/internal/native  ->  C code, gotch's libtch, and nothing else of gotch
//	synth prompt dataset and below it, metrics metrics/tsne scalars tab/card evaluate internal/*  ->  no native code, and
//	    no arrow among those before internal
//
// Every package may import internal/*. The examples may not, because they show what
// users can do from outside; the exceptions are internal/atomicfile, with which
// the programs write their reports, and internal/cpus. gonum.org/v1/plot belongs to evaluate/report, which no package of the library
// imports but those that do what programs do, and to the examples. Nested modules are looked at by nobody but themselves.
package archtest
