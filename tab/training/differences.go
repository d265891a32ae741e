package training

import (
	"encoding/json"

	"github.com/gotab/gotab/tab"
)

// Difference is a setting in which two trainings are not the same.
type Difference struct {
	Setting    string // a field of tab.Config; "Schedule.WarmupSteps" for that one, "Objective.Name" and "Objective" for an objective and its settings
	Asked, Has any
}

// Differences are the settings of a training in which what is asked for differs from what another one has, in a fixed order: what a caller may
// hold against the checkpoint that [Config.Agree] is asked about, whose settings count. Tied classes are not among them: with [Twins].Tie the
// table of twins decides.
func Differences(asked, has tab.Config) []Difference {
	var out []Difference
	for _, d := range []Difference{
		{"Epochs", asked.Epochs, has.Epochs}, {"Batch", asked.Batch, has.Batch}, {"LR", asked.LR, has.LR}, {"Repeat", asked.Repeat, has.Repeat},
		{"Seed", asked.Seed, has.Seed}, {"Precision", asked.Precision, has.Precision}, {"Objective.Name", nameOf(asked.Objective), nameOf(has.Objective)}, {"ProbeEvery", asked.ProbeEvery, has.ProbeEvery},
		{"Transform", asked.Transform.String(), has.Transform.String()}, {"Stages", asked.Stages, has.Stages},
		{"Steps", asked.Steps, has.Steps}, {"Crop", asked.Crop, has.Crop}, {"Schedule.WarmupSteps", asked.Schedule.WarmupSteps, has.Schedule.WarmupSteps},
		{"Objective", settingsOf(asked.Objective), settingsOf(has.Objective)},
	} {
		if d.Asked != d.Has {
			out = append(out, d)
		}
	}
	return out
}

// nameOf is an objective's, empty for none.
func nameOf(o tab.Objective) string {
	if o == nil {
		return ""
	}
	return o.Name()
}

// settingsOf is what tells the settings of an objective.
func settingsOf(o tab.Objective) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
