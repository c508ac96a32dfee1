package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// planFormat is the format of plan files that this version writes and reads.
const planFormat = 1

// PlanFile is a plan to be applied later, as it was looked at. It holds the spec
// as well, resolved: whoever applies it needs no other file.
type PlanFile struct {
	Version string    `json:"version"` // of the kappa that made it
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Spec    string    `json:"spec"` // the StreamJob, as YAML
	Plan    *Plan     `json:"plan"`
}

// planEnvelope is what stands in the file. The content stays as it was written,
// so that the hash is of that, and not of what this version would make of it.
type planEnvelope struct {
	Format  int             `json:"format"`
	SHA256  string          `json:"sha256"` // of format and content
	Content json.RawMessage `json:"content"`
}

// hash is that of the content, whatever spaces stand between its parts.
func (e planEnvelope) hash() (string, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "kappa plan %d\n", e.Format)
	if err := json.Compact(&b, e.Content); err != nil {
		return "", err
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

// File is the plan as a file. A plan with errors makes none: it cannot be applied.
func (d *Deployer) File(p *Plan, by string, at time.Time) (*PlanFile, error) {
	if err := p.refuse("deployed"); err != nil {
		return nil, err
	}
	return &PlanFile{Version: d.cfg.Version, At: at.UTC().Truncate(time.Second), By: by, Spec: string(d.doc), Plan: p}, nil
}

// Encode writes the file's text.
func (f *PlanFile) Encode() ([]byte, error) {
	e := planEnvelope{Format: planFormat}
	var err error
	if e.Content, err = json.Marshal(f); err != nil {
		return nil, fmt.Errorf("write plan: %w", err)
	}
	if e.SHA256, err = e.hash(); err != nil {
		return nil, fmt.Errorf("write plan: %w", err)
	}
	out, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write plan: %w", err)
	}
	return append(out, '\n'), nil
}

// DecodePlan reads a plan file and the StreamJob in it. One that was touched, or
// that another version has made, is refused: what was looked at must be what is
// applied.
func DecodePlan(name string, data []byte, version string) (*PlanFile, *jobspecs.StreamJob, error) {
	again := func(format string, args ...any) error {
		return exit.Usagef("plan file "+name+": "+format, args...).WithHint("make a new one with `kappa deploy plan --out`")
	}
	var e planEnvelope
	if err := strict(data, &e); err != nil {
		return nil, nil, again("is not one: %w", err)
	}
	if e.Format != planFormat {
		return nil, nil, again("has format %d; this version of kappa reads %d", e.Format, planFormat)
	}
	if sum, err := e.hash(); err != nil || sum != e.SHA256 {
		return nil, nil, again("was changed after it was made: its hash does not fit")
	}
	var f PlanFile
	// The version first: another one may have other fields.
	if err := json.Unmarshal(e.Content, &f); err == nil && f.Version != version {
		return nil, nil, again("was made by kappa %s, and this is %s", f.Version, version)
	}
	f = PlanFile{}
	if err := strict(e.Content, &f); err != nil {
		return nil, nil, again("cannot be read: %w", err)
	}
	if f.Plan == nil {
		return nil, nil, again("holds no plan")
	}
	job, err := resolved(name, []byte(f.Spec))
	if err != nil {
		return nil, nil, again("its spec cannot be read: %w", err)
	}
	return &f, job, nil
}

// strict reads one JSON value without fields that are not known, and nothing
// behind it.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	return nil
}

// SameSpec reports whether a StreamJob is the one that the file was made of.
func (f *PlanFile) SameSpec(job *jobspecs.StreamJob) (bool, error) {
	doc, err := jobspecs.Marshal(job)
	return string(doc) == f.Spec, err
}
