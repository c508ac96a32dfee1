// Package repair proves that a repair comes to the truth: the real pipeline runs
// with a wrong spec in the sandbox while events flow, is replaced by the right one
// and repaired, and every window is then what the events say.
package repair
