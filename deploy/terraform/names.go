package terraform

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// names gives names to things: no two of a space share one.
type names map[string]string // what has a name, by space and name

// take returns the name for a thing: the one wished for, or that with a hash
// where another has it.
func (n names) take(space, wish, thing string) string {
	for name := wish; ; name = wish + "_" + digest(thing) {
		other, taken := n[space+"\x00"+name]
		if !taken || other == thing || name != wish {
			n[space+"\x00"+name] = thing
			return name
		}
	}
}

// identifier makes an identifier of HCL from words.
func identifier(words ...string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, strings.Join(words, "_"))
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "_" + s
	}
	return s
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:3])
}

// maxAccount is the length of the longest account id.
const maxAccount = 30

// accountID is the id of the service account of a document. One that is too
// long is cut, and told apart by a hash.
func accountID(role, name string) string {
	id := "kappa-" + role
	if name != "" {
		id += "-" + name
	}
	if len(id) > maxAccount {
		hash := digest(id)
		id = strings.TrimRight(id[:maxAccount-len(hash)-1], "-") + "-" + hash
	}
	return id
}

// account splits the address of a service account that a project owns.
func account(email string) (id, project string, err error) {
	id, domain, _ := strings.Cut(email, "@")
	project, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
	if !ok || id == "" || project == "" || strings.HasPrefix(project, "gcp-sa-") {
		return "", "", fmt.Errorf("%q is not a service account of a project", email)
	}
	return id, project, nil
}
