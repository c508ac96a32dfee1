package compare

import "encoding/json"

// keyJSON writes the texts of a key as a JSON list: the form in which history and
// baselines know keys.
func keyJSON(values []*string) string {
	data, err := json.Marshal(values)
	if err != nil {
		panic(err) // texts always have a JSON form
	}
	return string(data)
}

func (d *difference) texts() []*string {
	texts := make([]*string, len(d.keys))
	for i, v := range d.keys {
		texts[i] = keyText(v)
	}
	return texts
}

// differingKeys lists the keys that differ.
func differingKeys(diffs []difference) []DifferingKey {
	out := []DifferingKey{}
	for i := range diffs {
		if d := &diffs[i]; d.class != ClassTolerated {
			out = append(out, DifferingKey{d.window, keyJSON(d.texts()), d.class, d.cause, d.status})
		}
	}
	return out
}
