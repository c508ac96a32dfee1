package deploy

import (
	"reflect"
	"regexp"
	"testing"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Plans, plan files, the journal and differences show every field of a StreamJob
// (rule A4): none may be a secret.
func TestNoSecretsInPlans(t *testing.T) {
	secret := reflect.TypeFor[jobspecs.Secret]()
	named := regexp.MustCompile(`(?i)secret|password|passphrase|token|credential|private`)
	seen := map[reflect.Type]bool{}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ == secret {
			t.Errorf("%s is a secret", path)
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			if named.MatchString(f.Name) {
				t.Errorf("%s.%s is named as a secret is", path, f.Name)
			}
			walk(path+"."+f.Name, f.Type)
		}
	}
	walk("StreamJob", reflect.TypeFor[jobspecs.StreamJob]())
	walk("PlanFile", reflect.TypeFor[PlanFile]())
	walk("Status", reflect.TypeFor[Deployment]())
	if len(seen) < 10 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
