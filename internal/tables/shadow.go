package tables

import "strings"

const shadowInfix = "_shadow_"

// ShadowGroup is the group of the writers of a shadow of a StreamJob: one of its
// own, so that they take the place of nothing in the StreamJob's. No StreamJob can
// be named so.
func ShadowGroup(streamJob, suffix string) string { return streamJob + shadowInfix + suffix }

// IsShadow reports whether a group is that of a shadow.
func IsShadow(group string) bool { return strings.Contains(group, shadowInfix) }
